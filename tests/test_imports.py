"""`import cortico` stays light, and what is documented can be imported from it."""

import subprocess
import sys

import pytest

import cortico

HEAVY = (
    "sympy",
    "networkx",
    "matplotlib",
    "torch",
    "jax",
    "transformers",
    "rich",
    "yaml",
    "safetensors",
    "tokenizers",
)


def loaded_by(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_import_is_light():
    for statement in (
        "import cortico",
        "import cortico.ir, cortico.backends, cortico.pipeline, cortico.frontends, cortico.live",
        "import cortico.cli",
    ):
        assert not loaded_by(statement) & set(HEAVY)


@pytest.mark.slow
@pytest.mark.parametrize("mask", ["none", "causal"])
def test_compiling_a_spec_without_weights_does_not_need_sympy(mask, tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text(f"model = 8\nheads = 2\nmask = '{mask}'\n", encoding="utf-8")
    arguments = ["compile", str(spec), "-o", str(tmp_path / "layer")]
    loaded = loaded_by(f"from cortico.cli import main; main({arguments})")
    assert "cortico" in loaded
    assert not loaded & {"sympy", "networkx", "matplotlib", "torch", "safetensors"}
    assert (tmp_path / "layer" / "report.md").read_text(encoding="utf-8").count("n^2")


def test_public_names():
    for name in cortico.__all__:
        assert getattr(cortico, name) is not None
    assert set(cortico.__all__) <= set(dir(cortico))
