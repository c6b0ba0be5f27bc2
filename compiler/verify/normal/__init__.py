"""The normal form of equations, and the verdict on two of them.

`terms` and `heads` are the data, `signs`, `algebra` and `functions` the rules, `form` brings equations to it,
`spelling` writes it out, and `equivalence` compares.
"""
