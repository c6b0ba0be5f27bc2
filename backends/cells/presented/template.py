"""What scripts have that present tokens one after another: `cortico.backends.linking` copies what is used.

Imported by `course` alone, which counts steps as scripts do.
"""

import functools

import numpy as np

from cortico.backends.cells.template import settling_steps


def presented(size, passes, axes):
    """The token at each presentation, counted up in every pass; an array whose other axes are new."""
    tokens = [np.minimum(np.arange(count), size - 1) for count in passes]
    return np.concatenate(tokens).reshape(-1, *[1] * axes)


def over_cells(size, *parts):
    """A number per presentation (or one for all) and cell: the sum of all parts (numbers, values)."""
    arrays = [np.atleast_1d(*np.broadcast_arrays(*part)) for part in parts]
    total = np.zeros((max(len(values) for _, values in arrays), size + 1))
    for cells, values in arrays:  # the last column takes what has no cell, number -1
        total[:, cells[0].ravel()] += values.reshape(len(values), -1)
    return total[:, :-1]


def edges(pre, post, weight, where=True):
    """The synapses of a projection: numbers of both cells, and the weights at each presentation."""
    pre, post, weight, where = np.atleast_1d(*np.broadcast_arrays(pre, post, weight, where))
    exists = where.any(0) & (pre[0] >= 0) & (post[0] >= 0)
    return pre[0][exists], post[0][exists], np.where(where, weight, 0.0)[:, exists]


def there_at(presentations, parts):
    """Whether a cell is there at each presentation (rows): an array over numbers, the last of which is -1.

    `parts` have the same of each population, or one row for all presentations.
    """
    rows = [np.broadcast_to(part, (presentations, part.shape[1])) for part in parts]
    return np.concatenate([*rows, np.zeros((presentations, 1))], axis=1) > 0


def sampled(found, numbers, first, count):
    """What is found at `count` presentations from `first` on: an array over these and a population's axes."""
    return found[first : first + count, numbers]


def rates_there(rates, there, *where):
    """Sampled rates of the cells that are there, one after another."""
    return sampled(rates, *where)[sampled(there, *where)]


def presentation_course(dt, part, tolerance, through, before, after, token_ms=None):
    """Steps of a presentation: before the gate of memories opens, while it is open, after it has closed.

    `through`, `before` and `after` are the longest chains of cells: in all, up to what is stored, from a memory
    on. A token stays until they lack `tolerance` of their way, if a cell goes `part` of it in a step. For
    `token_ms` the course is that one, shortened or stretched; a step for each cell of a chain is the least.
    """
    settling = functools.partial(settling_steps, part=part, tolerance=tolerance)
    first, gate = settling(before), max(1, round(1 / part)) if after else 0
    course = [first, gate, max(settling(after), settling(through) - first - gate)]
    if token_ms is None:
        return course
    opens = min(gate, 1)
    least = [before, opens, max(after, through - before - opens)]
    spare = round(token_ms / dt) - sum(least)
    if spare < 0:
        raise ValueError(
            f"token_ms is {token_ms:g}, {round(token_ms / dt)} steps of {dt:g} ms; expected at least "
            f"{sum(least)} steps ({sum(least) * dt:g} ms), one for each cell that a signal passes, "
            "and one in which it is stored"
        )
    beyond = [steps - few for steps, few in zip(course, least)]
    shared = [few + spare * more // (sum(beyond) or 1) for few, more in zip(least, beyond)]
    return [*shared[:2], round(token_ms / dt) - sum(shared[:2])]
