"""Pictures of recordings: all spikes are drawn, words say what textbook formulas give, the rest is refused."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

from cortico import SpecError
from cortico.backends.recordings import Rates, Recording, Spikes
from cortico.experiment.spike_trains import intervals, psth
from cortico.pictures.recordings import KINDS_OF_RECORDINGS, draw_recording
from tests.recordings.circuits import pair

SVG = "{http://www.w3.org/2000/svg}"


def recording(trains, start=0.0, stop=1000.0, rates=None):
    """A recording of trains by (cell, soma); cells have as many somas as the highest that is named."""
    keys = sorted(trains)
    times = np.concatenate([np.asarray(trains[key], float) for key in keys])
    cells, somas = (
        np.repeat([key[k] for key in keys], [*map(len, map(trains.get, keys))]) for k in (0, 1)
    )
    order = np.argsort(times, kind="stable")
    recorded = sorted({cell for cell, _ in keys})
    counts = [1 + max(soma for cell, soma in keys if cell == each) for each in recorded]
    spikes = Spikes(
        start, stop, times[order], cells[order], somas[order], np.array(recorded), np.array(counts)
    )
    return Recording(pair(), rates, spikes)


def small():
    """Core: a regular soma at 100 Hz and a silent one; relay: one that fires in pairs, 5 and 15 ms apart."""
    pairs = np.cumsum([10.0, *[5.0, 15.0] * 10])
    rates = Rates(np.arange(5.0), 1.0, np.array([0, 1, 2, 4]), np.arange(20.0).reshape(5, 4) - 6)
    trains = {(0, 0): np.arange(5.0, 1000.0, 10.0), (0, 1): [], (4, 0): pairs}
    return recording(trains, rates=rates)


def texts(path):
    return ["".join(e.itertext()) for e in ElementTree.parse(path).iter(f"{SVG}text")]


@pytest.mark.parametrize("kind", KINDS_OF_RECORDINGS)
def test_words_of_pictures(kind, tmp_path, golden):
    draw_recording(small(), kind, tmp_path / "a.svg", width=100.0)
    draw_recording(small(), kind, tmp_path / "b.svg", width=100.0)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    golden("\n".join(texts(tmp_path / "a.svg")) + "\n", f"recordings/{kind}.txt")


def test_every_spike_of_a_raster_is_drawn_once(tmp_path):
    """The silent soma has a row, too."""
    draw_recording(small(), "raster", tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    lines = {}
    for group in root.iter(f"{SVG}g"):
        if group.get("id", "").startswith("population-"):
            collections = [g for g in group.iter(f"{SVG}g") if g.get("id", "").startswith("LineC")]
            paths = [p for g in collections for p in g.iter(f"{SVG}path")]
            lines[group.get("id")] = sum(p.get("d").count("M") for p in paths)
    assert lines == {"population-core": 100, "population-relay": 21}


def test_a_psth_by_hand():
    """One regular soma at 100 Hz and a silent one: 50 Hz a soma in each bin, and spikes on edges are counted once."""
    found = psth(small(), "core", 100.0)
    np.testing.assert_allclose(found.rates, 50.0)
    np.testing.assert_allclose(found.edges, np.arange(11) * 100.0)
    on_edges = recording({(0, 0): 0.1 * np.arange(3, 60)}, start=0.3, stop=6.0)
    np.testing.assert_allclose(psth(on_edges, "core", 0.1).rates, 1e4)
    left_out = psth(small(), "relay", 400.0)
    assert len(left_out.rates) == 2 and left_out.rates[0] == pytest.approx(21 / 0.4)


def test_intervals_by_hand():
    """Regular spikes have CV 0, those 5 and 15 ms apart 0.5, those of a Poisson process about 1."""
    assert intervals(small(), "core").cv == pytest.approx(0, abs=1e-12)
    relay = intervals(small(), "relay")
    assert relay.cv == pytest.approx(0.5) and relay.somas == 1
    assert relay.times.tolist() == pytest.approx([5.0] * 10 + [15.0] * 10)
    random = np.random.default_rng(0)
    poisson = {(0, k): np.cumsum(random.exponential(5.0, 2000)) for k in range(10)}
    assert intervals(recording(poisson, stop=2e4), "core").cv == pytest.approx(1, abs=0.02)
    lone = intervals(recording({(0, 0): [1.0, 2.0]}), "core")
    assert np.isnan(lone.cv) and lone.somas == 0 and len(lone.times) == 1


def test_trains_of_interleaved_somas():
    """Spikes at one time, of many cells and somas, each find their own train."""
    random = np.random.default_rng(1)
    trains = {
        (cell, soma): np.unique(random.integers(0, 50, random.integers(0, 30))).astype(float)
        for cell in (0, 2, 3)
        for soma in range(4)
    }
    found = recording(trains).spikes.trains()
    assert found.keys() == trains.keys()
    for key, train in trains.items():
        assert found[key].tolist() == train.tolist()


@pytest.mark.parametrize(
    ("kind", "lost", "message"),
    [
        ("raster", "spikes", "this recording has no spikes: record them with option spikes"),
        ("psth", "spikes", "this recording has no spikes"),
        ("isi", "spikes", "this recording has no spikes"),
        ("rates", "rates", "this recording has no rates: record them with option monitor"),
    ],
)
def test_what_was_not_recorded(kind, lost, message, tmp_path):
    with pytest.raises(SpecError, match=message):
        draw_recording(replace(small(), **{lost: None}), kind, tmp_path / "a.svg")
    assert not list(tmp_path.iterdir())


def test_wrong_pictures(tmp_path):
    with pytest.raises(SpecError, match="no kind of picture 'rastr'"):
        draw_recording(small(), "rastr", tmp_path / "a.svg")
    for width in (0.0, -1.0, 2000.0):
        with pytest.raises(SpecError, match="does not fit into 1000 ms of recording"):
            draw_recording(small(), "psth", tmp_path / "a.svg", width=width)
