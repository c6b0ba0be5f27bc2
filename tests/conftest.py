"""What all tests share: golden files, rewritten by `make golden`."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# no test fails because a machine is busy, or because few examples are circuits
FEW = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
# CI repeats the same examples at every run; a developer's runs search on
settings.register_profile("ci", FEW, derandomize=True, print_blob=True)
settings.register_profile("developer", FEW)
settings.load_profile("ci" if os.environ.get("CI") else "developer")

# tests run small arrays once: compiling well takes XLA longer than it saves
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files")
    parser.addoption("--once", action="store_true", help="run each test on its first parameters")


@pytest.hookimpl(trylast=True)  # after -m and -k
def pytest_collection_modifyitems(config, items):
    if config.getoption("--once"):
        first = list({item.nodeid.partition("[")[0]: item for item in reversed(items)}.values())
        config.hook.pytest_deselected(items=[item for item in items if item not in first])
        items[:] = reversed(first)


@pytest.fixture
def golden(request):
    """A function that compares a text with the file of that name, or rewrites the file."""

    def compare(text: str, name: str, folder: Path = GOLDEN) -> None:
        path = folder / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing: run `make golden`, and read what it wrote"
        assert text == path.read_text(encoding="utf-8"), f"{path} differs: run `make golden`"

    return compare
