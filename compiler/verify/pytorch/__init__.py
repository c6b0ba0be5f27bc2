"""Blocks, their gradients, and whole models in PyTorch, in float64: a checker that shares no code with the others.

Forward passes are written with torch operations straight from the formulas, with the functions of
`torch.nn.functional` where there are such; gradients are autograd's.
"""

from cortico.verify.pytorch.blocks import TorchResult, torch_block
from cortico.verify.pytorch.model import torch_model

__all__ = ["TorchResult", "torch_block", "torch_model"]
