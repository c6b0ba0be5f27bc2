"""Networks in PyTorch: `block` has the module of each distinct block, `file` those of levels and of the model."""

from cortico.backends.torch.network.file import emit_network

__all__ = ["emit_network"]
