"""Pages of the simulators and of NIR, their benchmark and their example: what they say is what is so."""

import dataclasses
import json
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cortico.backends import annarchy, nengo, nest, neuron, nir
from tests.backends.simulators import NEST

ROOT = Path(__file__).parents[2]
OPTIONS = {
    "neuron": ("neuron.md", "## Options", neuron.Options),
    "nest": ("nest.md", "## Options", nest.Options),
    "annarchy": ("annarchy.md", "## Options", annarchy.Options),
    "nengo": ("nengo.md", "## Options", nengo.Options),
    "nir": ("formats.md", "## NIR", nir.Options),
}

_SCALE = re.compile(r"(?<=rewrites these lines -->\n)(.*?)(?=<!-- end -->)", re.S)


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    return runpy.run_path(str(ROOT / "benchmarks" / "simulator_scale.py"))


@pytest.mark.parametrize("engine", ["neuron", "nest", "annarchy"])
def test_tables_are_those_measured(engine, benchmark, golden):
    results = json.loads((ROOT / "benchmarks/results/simulator_scale.json").read_text("utf-8"))
    text = (ROOT / "docs" / f"{engine}.md").read_text(encoding="utf-8")
    assert _SCALE.search(text)
    made = _SCALE.sub(lambda _: f"\n{benchmark['table'](results, engine)}\n\n", text)
    golden(made, f"{engine}.md", ROOT / "docs")


def test_the_page_of_scale_is_made_of_what_was_measured(golden):
    draw = runpy.run_path(str(ROOT / "docs" / "draw_scale.py"))
    results = [
        json.loads((ROOT / f"benchmarks/results/{name}.json").read_text("utf-8"))
        for name in ("simulator_scale", "mpi_scaling")
    ]
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    golden(draw["page"](text, *results), "scale.md", ROOT / "docs")


def test_bytes_per_neuron_and_synapse_by_hand():
    """10 neurons of 700 bytes and 100 synapses of 30; 50 neurons and 60 synapses."""
    draw = runpy.run_path(str(ROOT / "docs" / "draw_scale.py"))
    rows = [
        {"shape": shape, "workers": 1, "neurons": n, "synapses": s, "bytes_per_synapse": b / s}
        for shape, n, s, b in (("whole", 10, 100, 10_000), ("thin", 50, 60, 36_800))
    ]
    found = draw["cost"]({"nest": {"rows": rows}}, "nest")
    np.testing.assert_allclose(found, (700, 30))


@pytest.mark.parametrize("engine", OPTIONS)
def test_every_option_is_listed_with_its_default(engine):
    page, heading, options = OPTIONS[engine]
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").partition(f"\n{heading}\n")[2]
    text = text.partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `?([^`|]*?)`? \|", text, flags=re.M)
    fields = dataclasses.fields(options)
    assert rows == [(field.name, str(field.default)) for field in fields]


@pytest.mark.slow
@NEST.needs
def test_the_benchmark_measures(benchmark):
    found = benchmark["measure"]("nest", "small", 1)
    assert found["step_s"] > 0 and found["build_s"] > 0


@pytest.mark.parametrize("error", [0.0, 1e-5])
def test_the_example_compares(error, monkeypatch, capsys):
    """Its exit code says whether a backend equals the model, here one that errs by a known amount."""
    example = runpy.run_path(str(ROOT / "examples" / "minilm_simulators.py"))
    names = example["main"].__globals__
    x, expected = np.ones((1, 2, 4)), np.ones((1, 2, 4))
    counts = SimpleNamespace(neurons=1, synapses=1)
    circuit = SimpleNamespace(bind=lambda n: SimpleNamespace(counts=lambda: counts))
    reading = SimpleNamespace(inputs={"x": x}, output=expected)
    runner = SimpleNamespace(run=lambda *_: {"y": expected * (1 + error)})
    monkeypatch.setitem(names, "model_folder", lambda: None)
    monkeypatch.setitem(names, "read_at", lambda folder, sentences, layer: reading)
    monkeypatch.setitem(names, "read_checkpoint", lambda folder, layer: ())
    monkeypatch.setitem(names, "compile_attention", lambda: SimpleNamespace(circuit=circuit))
    monkeypatch.setitem(names, "get_runner", lambda name, **options: runner)
    assert example["main"]("neuron", "ranks=2") == (error > 1e-6)
    assert "largest relative difference" in capsys.readouterr().out
