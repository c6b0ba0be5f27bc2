"""The demo: all-MiniLM-L6-v2 in plain NumPy, and a tour of one of its layers as a circuit."""
