"""What is told of recorded spikes: rates over time, intervals, how irregular they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortico.backends.recordings import Recording, Spikes
from cortico.ir import SpecError


@dataclass(frozen=True, eq=False)
class Psth:
    """Spikes over time: how often a soma fires in each bin, over all somas of a population that were recorded."""

    edges: np.ndarray  #: (bins + 1,) in ms
    rates: np.ndarray  #: (bins,) in Hz


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals between spikes of one soma, of all somas of a population; CV is deviation over mean."""

    times: np.ndarray  #: (intervals,) in ms, ascending
    cv: float  #: mean over somas with two intervals or more; NaN without such
    somas: int  #: how many these are


def require_spikes(recording: Recording) -> Spikes:
    """The spikes of a recording. SpecError where none were recorded."""
    if recording.spikes is None:
        raise SpecError("this recording has no spikes: record them with option spikes")
    return recording.spikes


def trains_of(recording: Recording, population: str) -> list[np.ndarray]:
    """The spike times in ms of every recorded soma of a population, cell by cell. SpecError without any spikes."""
    spikes = require_spikes(recording)
    own = set(spikes.recorded[recording.of(population, spikes.recorded)].tolist())
    return [train for (cell, _), train in spikes.trains().items() if cell in own]


def psth(recording: Recording, population: str, width: float) -> Psth:
    """The peristimulus time histogram in bins of `width` ms, whole ones only.

    SpecError where no spikes were recorded, or not one bin fits into the recording.
    """
    spikes, trains = require_spikes(recording), trains_of(recording, population)
    bins = int((spikes.stop - spikes.start) / width * (1 + 1e-9)) if width > 0 else 0
    if bins < 1:
        raise SpecError(
            f"a bin of {width:g} ms does not fit into {spikes.stop - spikes.start:g} ms of recording"
        )
    edges = spikes.start + width * np.arange(bins + 1)
    times = np.concatenate([*trains, np.zeros(0)])
    # a spike at an edge, but for a rounding, is of the bin that begins there
    place = np.floor((times - spikes.start) / width + 1e-9).astype(int)
    counts = np.bincount(place[place < bins], minlength=bins)
    return Psth(edges, counts / (len(trains) * width * 1e-3) if trains else counts * 0.0)


def intervals(recording: Recording, population: str) -> Intervals:
    """Intervals between spikes, and their coefficient of variation. SpecError where no spikes were recorded."""
    own = [np.diff(train) for train in trains_of(recording, population)]
    many = [each.std() / each.mean() for each in own if len(each) > 1]
    times = np.sort(np.concatenate([*own, np.zeros(0)]))
    return Intervals(times, float(np.mean(many)) if many else np.nan, len(many))
