"""Axes in time, as every simulator has them: tokens are presented one after another.

`schedule` says which tokens come when and what is stored meanwhile, `depth` how many units a signal passes
before and behind what is stored, `coder` writes pieces of such a circuit, `script` a script that makes it cell
by cell, `course` holds the option `token_ms` against a circuit, `template` is what scripts carry.
"""
