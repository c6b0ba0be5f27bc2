"""Validation of passes: small stages, facts read off their arrays, a proof for each."""
