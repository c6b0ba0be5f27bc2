"""What scripts for simulators have in common: `cortico.backends.linking` copies what is used.

Imported by `start` alone, which counts steps as scripts do.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

TINY = 1e-290  # rates that are smaller have lost digits
CLOSE = 0.1  # of its way that a cell may lack when those that hear it are let go
INPUTS: Any = ...  #: of each, its argument of `simulate`, and the number of axes of one example
simulate: Any = ...  #: makes the network for one example


def main():
    """Simulate each example, write what comes out."""
    batch, examples, output, options = command_line()
    results = [simulate(**example, **options) for example in examples]
    np.savez(output, **stacked(results, batch))


def command_line():
    """What the user gives: the shape of the batch, the examples, the file to write, the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("inputs", type=Path, help=".npz of the inputs by name")
    parser.add_argument("-o", "--output", type=Path, default="outputs.npz", help=".npz to write")
    # <options>
    options = vars(parser.parse_args())
    inputs, output = options.pop("inputs"), options.pop("output")
    if options["weights"]:
        options["weights"] = dict(np.load(options["weights"], allow_pickle=False))
    batch, examples = split(dict(np.load(inputs, allow_pickle=False)))
    return batch, examples, output, options


def split(arrays):
    """The shape of the batch, and the arguments of each example; arrays without batch axes are shared."""
    unknown = sorted(arrays.keys() - INPUTS.keys())
    if unknown:
        raise ValueError(f"unknown input {unknown[0]!r}; there are: {', '.join(INPUTS)}")
    leading = [array.shape[: max(array.ndim - INPUTS[n][1], 0)] for n, array in arrays.items()]
    batch = max(leading, key=len, default=())
    return batch, [
        {
            INPUTS[n][0]: array[index if array.ndim > INPUTS[n][1] else ...]
            for n, array in arrays.items()
        }
        for index in np.ndindex(*batch)
    ]


def stacked(results, batch):
    """Output name to the arrays of all examples, in the shape of the batch."""
    found = {name: [outputs[name] for outputs in results] for name in results[0]}
    return {n: np.reshape(all, batch + all[0].shape) for n, all in found.items()}


def checked(name, array, shape, sizes):
    """`array` in float64, of this shape; a symbol in it gets its size at first sight."""
    array = np.asarray(array, np.float64)
    expected = [sizes.get(side, side) for side in shape]
    fits = all(isinstance(side, str) or side == size for side, size in zip(expected, array.shape))
    if array.ndim != len(shape) or not fits or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}, expected ({str(expected)[1:-1]})")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has numbers that are NaN or infinite")
    sizes.update((side, size) for side, size in zip(shape, array.shape) if isinstance(side, str))
    return array


def flags(name, array):
    """A 0/1 input as it is; one that holds something else is refused."""
    array = np.asarray(array)
    others = array[(array != 0) & (array != 1)]
    if others.size:
        raise ValueError(f"{name} must hold 0 or 1, found {others.flat[0]}")
    return array


def one_hot(numbers, count):
    """What cells of token identity are driven by: 1 at the number of each token, 0 at all others."""
    return 1.0 * (numbers[..., None] == np.arange(count))


def require_range(exponentials, divisors, least, most):
    """Refuse rates e^x that the simulator's numbers do not hold: what comes of them looks right and is not.

    `exponentials` and `divisors` are the rates of cells by population, of those that fire e^x and of those
    that divide others.
    """
    for name, rates in exponentials.items():
        if not rates.max(initial=0) <= most:
            raise FloatingPointError(
                f"{name} has an exponential of {rates.max():.3g}, expected at most {most:.3g}: "
                "scale the scores down"
            )
    lost = [name for name, rates in exponentials.items() if (rates < least).any()]
    if lost and any((np.abs(rates) < least).any() for rates in divisors.values()):
        raise FloatingPointError(
            f"{lost[0]} has exponentials below {least:.3g}, and a sum of them divides: "
            "scale the scores down"
        )


def numbered(first, axes, where):
    """Numbers from `first` on for the cells that exist, an array over their axes; and how many do."""
    exists, *indices = np.broadcast_arrays(where, *axes)
    count = np.count_nonzero(exists)
    numbers = np.full([axis.size for axis in axes], -1)
    numbers[tuple(index[exists] for index in indices)] = first + np.arange(count) if axes else first
    return numbers, count


def along(size, dimension, dimensions):
    """The indices of an axis, an array along one of so many dimensions."""
    return np.arange(size).reshape([size if k == dimension else 1 for k in range(dimensions)])


def by_cell(place, count, values):
    """One number per cell, from arrays over the grid."""
    found = np.zeros(count + 1)  # the last one takes what has no cell, place -1
    place, values = np.broadcast_arrays(place, values)
    found[place] = values
    return found[:-1]


def settling_steps(depth, part, tolerance):
    """Steps until a chain of `depth` cells, each moving by `part` of its way a step, is that close."""
    waiting, steps = np.eye(1, depth)[0], 0  # how much of a step has come to each cell of the chain
    while waiting.sum() > tolerance:
        waiting = (1 - part) * waiting + part * np.append(0, waiting[:-1])
        steps += 1
    return steps
