"""Every benchmark and every script that makes a page runs: small, in seconds, and held to no goal."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backends.simulators import MPI, NEURON, needs_mpi, without_optimisation
from tests.needs import needs_weights

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.py"))

#: What is started; the other files are what these import.
BENCHMARKS = sorted(
    path.name
    for path in (ROOT / "benchmarks").glob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)

NEEDS = {
    "mpi_scaling.py": [needs_mpi],
    "simulator_scale.py": [NEURON.needs],
    "pass_counts.py": [needs_weights],
    "draw_pictures.py": [needs_weights],
}


def scripts(names):
    return [pytest.param(name, marks=NEEDS.get(name, ())) for name in names]


def run(path, **environment):
    """What the script prints, as a user starts it; compilers take half a minute less when they need not optimise."""
    done = subprocess.run(
        [sys.executable, path],
        env=os.environ | MPI | {"PATH": without_optimisation()} | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.full
@pytest.mark.parametrize("name", scripts(BENCHMARKS))
def test_a_benchmark_runs(name, tmp_path):
    """Its results go to a folder of their own; those that are published stay."""
    published = ROOT / "benchmarks" / "results" / Path(name).with_suffix(".json").name
    before = published.read_bytes() if published.exists() else None
    assert run(ROOT / "benchmarks" / name, SMOKE=str(tmp_path))
    assert (tmp_path / published.name).exists() == published.exists()
    assert (published.read_bytes() if published.exists() else None) == before


@pytest.mark.full
@pytest.mark.parametrize("name", scripts(PAGES))
def test_a_page_is_made(name, tmp_path):
    """In a copy, from what is published: pages say that already, pictures are there."""
    for folder in ("docs", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    docs = tmp_path / "docs"
    pictures = set(docs.rglob("*.svg"))
    run(docs / name)
    for page in docs.glob("*.md"):
        assert page.read_bytes() == (ROOT / "docs" / page.name).read_bytes(), page.name
    assert set(docs.rglob("*.svg")) == pictures


def test_there_are_some():
    assert len(BENCHMARKS) >= 13 and len(PAGES) >= 6
