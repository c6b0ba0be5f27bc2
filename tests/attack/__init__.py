"""Attacks on what cortico says of itself, each with an oracle that shares nothing with what it attacks.

Every module has a `trial(seed)` that makes one attempt and says what came of it. `python -m tests.attack`
runs many of them.
"""
