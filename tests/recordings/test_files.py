"""Recordings as SONATA files: read by libsonata and h5py apart from our reader, back as they were, refused when wrong."""

import h5py
import numpy as np
import pytest

from cortico import SpecError, get_runner
from cortico.backends.recordings import Rates, Recording, Spikes, read_recording, write_recording
from tests.recordings.circuits import X, pair


def made():
    """Rates of three cells at four times, six spikes of two cells of two and one somas."""
    values = np.arange(12.0).reshape(4, 3) / 7
    rates = Rates(2.0 + 0.5 * np.arange(4), 0.5, np.array([0, 2, 4]), values)
    spikes = Spikes(
        10.0,
        30.0,
        np.array([10.5, 11.0, 11.0, 14.0, 20.0, 29.5]),
        np.array([1, 3, 1, 1, 3, 1]),
        np.array([0, 0, 1, 0, 0, 0]),
        np.array([1, 3, 4]),
        np.array([2, 1, 1]),
    )
    return Recording(pair(), rates, spikes)


def test_libsonata_reads_rates_and_spikes(tmp_path):
    libsonata = pytest.importorskip("libsonata")
    recording = made()
    assert write_recording(recording, tmp_path) == ("recorded.cortico", "rates.h5", "spikes.h5")
    report = libsonata.ElementReportReader(str(tmp_path / "rates.h5"))
    assert report.get_population_names() == ["neurons"]
    elements = report["neurons"]
    assert elements.times == (2.0, 4.0, 0.5) and elements.time_units == "ms"
    assert elements.sorted and elements.data_units == "1"
    frame = elements.get()
    np.testing.assert_allclose(frame.times, recording.rates.times)
    assert np.asarray(frame.ids)[:, 0].tolist() == [0, 2, 4]
    np.testing.assert_allclose(frame.data, recording.rates.values, rtol=1e-6)  # it reads float32
    spikes = libsonata.SpikeReader(str(tmp_path / "spikes.h5"))
    assert spikes.get_population_names() == ["neurons"]
    population = spikes["neurons"]
    assert population.sorting == "by_time"
    found = population.get_dict()
    np.testing.assert_array_equal(found["node_ids"], recording.spikes.cells)
    np.testing.assert_allclose(found["timestamps"], recording.spikes.times)


def test_ids_are_those_of_the_exported_network(tmp_path):
    """A report's node_ids name nodes of the SONATA backend's nodes.h5."""
    from cortico import export_circuit

    export_circuit(pair(), "sonata", tmp_path / "net")
    write_recording(made(), tmp_path)
    with h5py.File(tmp_path / "net/nodes.h5") as nodes, h5py.File(tmp_path / "rates.h5") as report:
        ids = report["report/neurons/mapping/node_ids"][:]
        types = nodes["nodes/neurons/node_type_id"][:][ids]
        assert types.tolist() == [0, 0, 1]
        assert nodes["nodes/neurons/0/index_a"][:][ids[2]] == 1
        assert made().names(ids) == [
            "thalamus.core.core[0]",
            "thalamus.core.core[2]",
            "thalamus.core.relay[1]",
        ]


def test_there_and_back(tmp_path):
    recording = made()
    write_recording(recording, tmp_path)
    found = read_recording(tmp_path)
    for part in ("rates", "spikes"):
        one, other = vars(getattr(recording, part)), vars(getattr(found, part))
        for name, value in one.items():
            np.testing.assert_array_equal(other[name], value, err_msg=name)
    assert found.circuit.neurons().size == 5 and found.populations == ("core", "relay")
    core = found.rates_of("core")
    np.testing.assert_array_equal(core[:, [0, 2]], recording.rates.values[:, :2])
    assert np.isnan(core[:, 1]).all()
    assert [train.tolist() for train in found.spikes_of(1)] == [[10.5, 14.0, 29.5], [11.0]]
    assert [train.tolist() for train in found.spikes_of(4)] == [[]]
    with pytest.raises(SpecError, match="no spikes were recorded of the cell with id 0"):
        found.spikes_of(0)


@pytest.mark.slow
def test_spikes_of_a_simulator_are_those_it_has(tmp_path):
    """Brian2: trains of all somas, a refractory time apart, and as many as the mean rate says."""
    backend = get_runner("brian2", cells="lif", neurons=4, duration=100.0, spikes="core,relay[a=1]")
    backend.run(pair(), {"x": X})
    write_recording(backend.recording, tmp_path)
    found = read_recording(tmp_path)
    spikes = found.spikes
    assert spikes.recorded.tolist() == [0, 1, 2, 4] and spikes.somas_of.tolist() == [4] * 4
    assert spikes.stop - spikes.start == pytest.approx(100.0)
    trains = spikes.trains()
    assert len(trains) == 16 and sum(map(len, trains.values())) == len(spikes.times) > 0
    for train in trains.values():
        assert (np.diff(train) >= 2.0).all() and spikes.start <= train[0]
    # core's somas fire at 60 % of the way from rest to peak for 1/1.25 … : all between 20 and 130 Hz
    counts = np.array([len(train) for train in trains.values()])
    assert ((counts >= 2) & (counts <= 13)).all()


@pytest.mark.parametrize(
    ("file", "place", "value", "message"),
    [
        ("rates.h5", "report/neurons/mapping/node_ids", [0, 2, 9], "ids that are not from 0 to 4"),
        ("rates.h5", "report/neurons/mapping/node_ids", [2, 0, 4], "not ascending"),
        (
            "rates.h5",
            "report/neurons/mapping/time",
            [0.0, 9.0, 0.5],
            "exact has 4 rows, time has 0 to 9",
        ),
        ("rates.h5", "report/neurons/exact", np.full((4, 3), np.nan), "NaN or infinite"),
        ("rates.h5", "report/neurons/exact", np.zeros((4, 2)), "2 columns, 3 node_ids"),
        ("spikes.h5", "spikes/neurons/node_ids", [1, 3, 1, 1, 3, 0], "not in recorded_node_ids"),
        ("spikes.h5", "spikes/neurons/soma_ids", [0, 0, 1, 0, 1, 0], "beyond somas_per_node"),
        ("spikes.h5", "spikes/neurons/timestamps", [3.0, 1, 2, 4, 5, 6], "not ascending"),
        ("spikes.h5", "spikes/neurons/timestamps", [1.0], "not equally long"),
    ],
)
def test_wrong_files_are_refused(tmp_path, file, place, value, message):
    write_recording(made(), tmp_path)
    with h5py.File(tmp_path / file, "a") as changed:
        kind = changed[place].dtype
        del changed[place]
        changed[place] = np.array(value, kind)
    with pytest.raises(SpecError, match=f"cannot read .*{message}"):
        read_recording(tmp_path)


def test_folders_without_a_recording(tmp_path):
    with pytest.raises(SpecError, match=r"is no recording: it has no rates.h5 and no spikes.h5"):
        read_recording(tmp_path)
    (tmp_path / "rates.h5").write_text("nothing")
    with pytest.raises(SpecError, match=r"recorded\.cortico"):
        read_recording(tmp_path)
