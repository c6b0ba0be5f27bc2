"""What emitted NumPy files use. Never imported: `cortico.backends.linking` copies what is used."""
