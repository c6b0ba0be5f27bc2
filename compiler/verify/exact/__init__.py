"""Runs without rounding: emitted code and circuits on exact numbers and on SymPy symbols."""
