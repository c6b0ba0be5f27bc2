"""What scripts carry that record: which cells are chosen, and the arrays that come out.

Never imported but by `values`' tests: `cortico.backends.linking` copies what is used. A recording stands beside the outputs:

    recording/t_ms                   (samples,)          when rates were taken, in ms
    recording/interval_ms            ()                  between two samples
    recording/rates/deep             (samples, cells)    of the chosen cells
    recording/rate_cells/deep        (cells, axes)       which these are: their indices
    recording/spike_cells/deep       (cells, axes)       cells whose spikes were recorded
    recording/somas/deep             (cells,)            how many somas carry each of them
    recording/spike_ms/deep          (spikes,)           when a soma fired, in ms
    recording/spike_cell/deep        (spikes,)           the row of its cell in spike_cells
    recording/spike_soma/deep        (spikes,)           which of the cell's somas
    recording/spikes_from_to_ms      (2,)                between which times spikes were recorded
"""

import numpy as np


def chosen(numbers, *parts):
    """Indices (cells, axes) and numbers of the cells that are asked for.

    Of each part those at an index, which is a tuple of whole numbers and slices; a sample of them, evenly
    spread and the same each time, where it has a number.
    """
    taken = np.zeros(numbers.shape, bool)
    for index, most in parts:
        there = np.zeros(numbers.shape, bool)
        there[index] = numbers[index] >= 0
        cells = np.flatnonzero(there)
        if most is not None and most < len(cells):
            bounds = np.arange(most + 1) * len(cells) // most
            cells = cells[np.random.default_rng(0).integers(bounds[:-1], bounds[1:])]
        taken.ravel()[cells] = True
    return np.argwhere(taken), numbers[taken]


def recorded_rates(times, interval, rates, cells):
    """The arrays of rates (samples, cells) by population, at times in ms; `cells` are what `chosen` gave."""
    when = {"recording/t_ms": times, "recording/interval_ms": interval} if cells else {}
    found = {name: np.asarray(value, float) for name, value in when.items()}
    for name, values in rates.items():
        found[f"recording/rates/{name}"] = np.asarray(values, float)
        found[f"recording/rate_cells/{name}"] = cells[name][0]
    return found


def recorded_spikes(window, spikes, cells):
    """The arrays of spikes (time in ms, row of the cell, soma) by population, and of how many somas each cell has."""
    found = {"recording/spikes_from_to_ms": np.array(window, float)} if cells else {}
    for name, (times, rows, somas, count) in spikes.items():
        found[f"recording/spike_cells/{name}"] = cells[name][0]
        found[f"recording/somas/{name}"] = np.full(len(cells[name][0]), count)
        found[f"recording/spike_ms/{name}"] = np.asarray(times, float)
        found[f"recording/spike_cell/{name}"] = np.asarray(rows, int)
        found[f"recording/spike_soma/{name}"] = np.asarray(somas, int)
    return found
