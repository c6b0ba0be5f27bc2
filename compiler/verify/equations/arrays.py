"""Arrays with a name for each axis: what equations are evaluated in, whatever their numbers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Factor(NamedTuple):
    """Numbers over named axes, the same along all others.

    Where they are residues, `above` and `below` bound the degrees of the numerator and denominator of
    each as a rational function of the random numbers behind it.
    """

    array: np.ndarray
    axes: tuple[str, ...]
    above: int = 0
    below: int = 0


def spread(factor: Factor, axes: Sequence[str]) -> np.ndarray:
    """The array with its axes in the order of `axes`, and sides of 1 for those it lacks."""
    order = [factor.axes.index(a) for a in axes if a in factor.axes]
    at = tuple(slice(None) if a in factor.axes else None for a in axes)
    return np.asarray(np.transpose(factor.array, order)[at])


def renamed(factor: Factor, names: Sequence[str]) -> Factor:
    """The factor with other names for its axes; where two get the same, the diagonal."""
    array, axes = factor.array, list(names)
    while len(set(axes)) < len(axes):
        name = next(a for a in axes if axes.count(a) > 1)
        one, two = [k for k, a in enumerate(axes) if a == name][:2]
        array = np.diagonal(array, axis1=one, axis2=two)
        axes = [a for k, a in enumerate(axes) if k not in (one, two)] + [name]
    return factor._replace(array=array, axes=tuple(axes))


def all_axes(factors: Sequence[Factor]) -> tuple[str, ...]:
    """The axes of several factors, each once."""
    return tuple(dict.fromkeys(axis for factor in factors for axis in factor.axes))
