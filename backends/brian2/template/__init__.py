"""What emitted Brian2 scripts carry. Never imported: `cortico.backends.linking` copies what is used."""
