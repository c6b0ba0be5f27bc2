"""Proof: that circuits, passes, gradients and emitted code are right."""
