"""`cortico run --backend nengo`: the measured error is told."""

import numpy as np

from tests.backends.simulators import NENGO


@NENGO.needs
def test_the_command_line_prints_the_error(cortico, home):
    """`cortico run` says what the run measured, below the outputs."""
    (home / "tiny.toml").write_text("model = 1\nheads = 1\n")
    assert cortico("compile", "tiny.toml", "--random-weights", "0", "-o", "tiny")[0] == 0
    np.save("one.npy", np.ones((1, 1)))
    options = ("--option", "neurons=lif", "--option", "neurons_per_dimension=5")
    run = ("run", "tiny", "-i", "one.npy", "--backend", "nengo", "-o", "y.npy")
    code, printed, errors = cortico(*run, *options, "--option", "time=0.01")
    assert (code, errors) == (0, "")
    lines = " ".join(printed.split())
    assert "y (1, 1) float64: mean" in lines
    assert "relay: spiking rates differ by" in lines
