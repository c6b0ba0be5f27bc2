"""What emitted NEST scripts carry. Never imported: `cortico.backends.linking` copies what is used."""
