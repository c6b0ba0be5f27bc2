"""`import cortico` stays light, and what is documented can be imported from it."""

import subprocess
import sys

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
        "import cortico.ir, cortico.backends, cortico.pipeline, cortico.frontends",
        "import cortico.cli",
    ):
        assert not loaded_by(statement) & set(HEAVY)


def test_public_names():
    for name in cortico.__all__:
        assert getattr(cortico, name) is not None
    assert set(cortico.__all__) <= set(dir(cortico))
