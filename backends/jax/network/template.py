"""Network {title}, compiled by cortico to JAX.

{tensors}

{deciding} are computed in their own precision; float64 needs `jax_enable_x64`. In the comments, axes
stand in brackets; the batch axes in front of them are left out.
"""

from pathlib import Path

from cortico.backends.template import load_weights


def stored():
    """The weights in the file beside this one."""
    return load_weights(Path(__file__).with_name("network.safetensors"))
