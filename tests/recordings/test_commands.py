"""`cortico run --record` and `cortico draw` of what it wrote."""

import numpy as np
import pytest

from cortico import read_recording, save_circuit
from cortico.cli import main
from tests.backends.simulators import NENGO
from tests.recordings.circuits import W, X, pair


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_circuit(pair(), tmp_path / "pair.cortico")
    np.save(tmp_path / "x.npy", X)
    return ["run", "pair.cortico", "-i", "x.npy", "--backend"]


@NENGO.needs
@pytest.mark.slow
def test_a_recording_of_the_command_line(given, tmp_path, capsys):
    asked = ["nengo", "--option", "monitor=relay,core:1"]
    assert main([*given, *asked, "--record", "rec"]) == 0
    assert "recorded to rec" in capsys.readouterr().out
    found = read_recording("rec")
    np.testing.assert_allclose(found.rates_of("relay"), [W @ X])
    assert np.isfinite(found.rates_of("core")).sum() == 1
    assert main([*given, *asked, "--record", "rec"]) == 2  # without --force
    assert "would be replaced" in capsys.readouterr().err
    (tmp_path / "rec/spikes.h5").write_text("of an older recording")
    assert main([*given, *asked, "--record", "rec", "--force"]) == 0
    assert sorted(p.name for p in (tmp_path / "rec").iterdir()) == ["rates.h5", "recorded.cortico"]
    assert main(["draw", "rec", "--kind", "rates", "-o", "rates.svg"]) == 0
    assert main(["draw", "rec", "--kind", "isi", "-o", "isi.svg"]) == 2
    assert "has no spikes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["numpy", "--record", "rec"], "--record wants cells to record, in a simulator"),
        (["brian2", "--record", "rec"], "--record wants cells to record, in a simulator"),
        (["brian2", "--option", "monitor=all"], "say where to, --record DIR"),
        (["numpy", "--option", "monitor=all"], "has no option 'monitor'"),
        (["nest", "--option", "spikes=all", "--record", "rec"], "these are rate units"),
        (
            ["brian2", "--option", "monitor=nuclei", "--record", "rec"],
            "no population is called 'nuclei'",
        ),
    ],
)
def test_what_is_refused(given, options, message, capsys, tmp_path):
    assert main([*given, *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "rec").exists()


def test_bins_are_of_a_psth(given, capsys):
    assert main(["draw", "pair.cortico", "--kind", "laminar", "--bin-ms", "3", "-o", "a.svg"]) == 2
    assert "--bin-ms is for --kind psth" in capsys.readouterr().err
    assert main(["draw", "pair.cortico", "--kind", "raster", "-o", "a.svg"]) == 2
    assert "is no recording" in capsys.readouterr().err
