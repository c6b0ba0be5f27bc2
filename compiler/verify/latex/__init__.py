"""Equations and proofs as LaTeX documents."""
