"""`cortico verify --check`: every forgery of a compiled folder, hashed anew, gets another verdict than "holds"."""

import hashlib
import json
import shutil

import pytest
from safetensors.numpy import load_file, save_file

from cortico.cli import main
from tests.covering import first

SPEC = (
    'model = 8\nheads = 2\nmask = "causal"\nname = "small"\n[bias]\nvalue = true\noutput = true\n'
)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A spec, and the folder that `cortico compile --verify` makes of it with random weights."""
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "spec.toml").write_text(SPEC)
    command = ["compile", str(folder / "spec.toml"), "--random-weights", "1", "--verify"]
    assert main([*command, "-o", str(folder / "proof")]) == 0
    return folder


@pytest.fixture
def proof(compiled, home):
    shutil.copytree(compiled, home, dirs_exist_ok=True)
    return home / "proof"


def edit(name, change):
    """A forgery that changes the text of a file."""
    return lambda proof, _: (proof / name).write_text(change((proof / name).read_text()))


def weights_times_three(proof, _):
    path = proof / "circuit.safetensors"
    save_file({name: 3 * array for name, array in load_file(path).items()}, path)


def another_step(facts, old, new):
    """A forgery that ends with one more step, to a circuit that differs, resting on `facts`."""

    def forge(proof, certificate):
        last = certificate["steps"][-1]["after"]
        assert old in last
        after = last.replace(old, new)
        certificate["steps"].append({"pass": "fold-constants", "after": after, "facts": facts})
        circuit = proof / "circuit.cortico"
        circuit.write_text(circuit.read_text().replace(old, new))

    return forge


TERM = {"coefficient": "1", "sizes": [], "reads": [["b_O_v2", ["m"]]]}
VANISHING = {"kind": "vanishing", "axes": ["i", "m"], "terms": [TERM]}


def another_spec(proof, certificate):
    certificate["spec"]["heads"] = 4
    (proof / "spec.json").write_text(json.dumps(certificate["spec"]))


def no_such_mask(proof, certificate):
    certificate["spec"]["mask"] = "Causal"
    (proof / "spec.json").write_text(json.dumps(certificate["spec"]))


def input_is_a_mask(proof, certificate):
    """x is declared a mask and squared, which changes nothing of 0 and 1."""
    old, new = "input x (n, 8)", "input x (n, 8) mask"
    square = "  driver multiplies x[j, m]", "  driver multiplies x[j, m]\n  more multiplies x[j, m]"
    for each in certificate["steps"]:
        each["after"] = each["after"].replace(old, new).replace(*square)
    certificate["lowered"] = certificate["lowered"].replace(old, new).replace(*square)
    edit("circuit.cortico", lambda text: text.replace(old, new).replace(*square))(proof, None)


def sizes_by_chance(proof, certificate):
    """One more factor, 1 + (n - 3) (n - 4) … (n - 12), which is 1 at these numbers of tokens."""
    for name in ("lowered", *range(len(certificate["steps"]))):
        at = certificate if name == "lowered" else certificate["steps"][name]
        key = "lowered" if name == "lowered" else "after"
        at[key] = with_factor(at[key])
    edit("circuit.cortico", with_factor)(proof, None)


def with_factor(text):
    zero = "".join(f"  f{n} multiplies size(i)^1 + -{n}.0\n" for n in range(3, 13))
    cells = f"population factor [i] cortex.L4 stellate\n{zero}"
    place = "population relay [i, m]"
    driver = "relay.driver weight W_O[h, m, c]"
    assert place in text and driver in text
    return text.replace(place, cells + place).replace(
        driver, f"{driver}\nprojection factor factor -> relay.driver weight 1.0"
    )


FORGERIES = {
    "a step on a vanishing fact": another_step([VANISHING], "W_O[h, m, c]", "3.0 * W_O[h, m, c]"),
    "a forged zero fact": another_step([{"kind": "zero", "old": "W_V"}], "W_V[h, c, m]", "0.0 * W_V[h, c, m]"),
    "weights times three": weights_times_three,
    "another spec": another_spec,
    "a value of the spec": no_such_mask,
    "spec.json alone": edit("spec.json", lambda text: text.replace("causal", "none")),
    "a claim added": lambda _, c: c["claims"].append({**c["claims"][0], "claim": "it is fast"}),
    "a claim upgraded": lambda _, c: c["claims"][-1].update(verdict="proved for all sizes"),
    "a word of its own": lambda _, c: c["claims"][0].update(verdict="certain"),
    "a claim removed": lambda _, c: c["claims"].pop(0),
    "all claims removed": lambda _, c: c.update(claims=[]),
    "no files": lambda _, c: c.update(files={}),
    "code": edit("attention.py", lambda text: text.replace("most=0", "most=1")),
    "an input is a mask": input_is_a_mask,
    "sizes that vanish by chance": sizes_by_chance,
}  # fmt: skip


#: What is not wrong in itself, but believed.
FOUND = dict.fromkeys(("weights times three", "a claim added", "code"), 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", first(6, FORGERIES))
def test_no_forgery_holds(cortico, proof, name):
    path = proof / "certificate.json"
    certificate = json.loads(path.read_text())
    files = list(certificate["files"])
    FORGERIES[name](proof, certificate)
    for file in files if certificate["files"] else ():
        content = (proof / file).read_bytes()
        certificate["files"][file] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(certificate))
    code, printed, _ = cortico("verify", "--check", proof)
    assert code == FOUND.get(name, 1) and "the certificate holds\n" not in printed


def test_what_was_not_re_checked_has_its_own_exit_code(cortico, proof):
    code, printed, _ = cortico("verify", "--check", proof)
    assert code == 3 and "holds as far as it was re-checked" in printed
    assert "not re-checked  the stored numbers" in printed


@pytest.mark.slow
def test_with_the_source_its_numbers_are_re_checked(cortico, proof):
    code, printed, _ = cortico("verify", "spec.toml", "--random-weights", "1", "--check", proof)
    assert code == 3 and "re-checked      the stored numbers" in printed
    code, printed, _ = cortico("verify", "spec.toml", "--random-weights", "2", "--check", proof)
    assert code == 1 and "WRONG           the stored numbers" in printed
    weights_times_three(proof, None)
    code, printed, _ = cortico("verify", "spec.toml", "--random-weights", "1", "--check", proof)
    assert code == 1


def test_of_another_source(cortico, proof):
    code, _, errors = cortico("verify", "ok.toml", "--check", proof)
    assert code == 2 and "another spec" in errors


@pytest.mark.slow
def test_the_same_bytes(cortico, proof, home):
    command = ("compile", "spec.toml", "--random-weights", "1", "--verify", "-o", "again")
    assert cortico(*command)[0] == 0
    texts = [(folder / "certificate.json").read_text() for folder in (proof, home / "again")]
    found = [json.loads(text) for text in texts]
    for each in found:
        each["files"].pop("report.md")  # a document of its own, with its own test
    assert found[0] == found[1] and "seconds" not in texts[0]


@pytest.mark.slow
def test_an_approximate_pass_is_part_of_the_chain(cortico, home, proof):
    passes = ("--passes", "share-relays,prune-small(budget=0.2),fold-constants")
    command = ("compile", "spec.toml", "--random-weights", "1", "--verify", *passes, "-o", "less")
    assert cortico(*command)[0] == 0
    code, printed, _ = cortico("verify", "--check", "less")
    assert code == 3
    assert "not re-checked  prune-small" in printed


@pytest.mark.parametrize(
    "text", ["[" * 10**5, '{"a": NaN}', "[" + "9" * 10**4 + "]", "\x00", "{}{}"]
)
def test_what_cannot_be_read_is_the_users_input(cortico, home, text):
    (home / "c.json").write_text(text)
    code, printed, errors = cortico("verify", "--check", "c.json")
    assert (code, printed) == (2, "") and errors.count("\n") == 1
