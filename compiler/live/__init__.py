"""Live models of transformers that attend with emitted code.

    with replace_attention(model):
        model.generate(...)  # by circuits

Nothing here imports torch or transformers before a model is given.
"""

from cortico.live.replacing import Replacement, replace_attention

__all__ = ["Replacement", "replace_attention"]
