"""The normal form of equations, and the verdict on two of them.

`terms` and `heads` are the data, `algebra` and `functions` the rules, `form` brings equations to it, and
`equivalence` compares.
"""
