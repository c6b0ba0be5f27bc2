"""Equations with symbolic sizes: of circuits, of the textbook, of gradients; and how they are shown."""
