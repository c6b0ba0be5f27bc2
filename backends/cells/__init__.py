"""What scripts for simulators have in common; each simulator says what differs.

`coder` writes pieces of a circuit, `statements` those that all scripts have, `script` a script that makes a
network cell by cell, `backend` is the class of such a backend, `template` what scripts carry.
"""
