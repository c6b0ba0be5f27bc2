"""Circuits as programs on whole arrays, which the NumPy, PyTorch and JAX backends write out.

`planner` turns a circuit into a `Program`: statements that each make one array over named axes.
`contraction` orders products, `past` finds sums over the past, `operations` knows how a statement
reads in a library of arrays. `file` has what the emitted files have in common, `template` the helpers of all.
"""
