"""Certificates and folders that are changed, and what became false by it."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load, save

from cortico.frontends.spec_file import spec_from_mapping
from cortico.ir import SpecError
from cortico.lowering import lower
from tests.attack.subjects import Subject, differs, parsed

ATTENTION, NUMBERS = "the lowered circuit computes attention", "the stored numbers"


class Forgery(NamedTuple):
    """A certificate and files that were changed, and which findings were made false by that.

    `spoilt` are beginnings of findings that may not be "re-checked"; none when nothing became false.
    """

    what: str
    certificate: dict[str, Any]
    files: dict[str, bytes]
    spoilt: tuple[str, ...]


Attack = Callable[[random.Random, Subject], Forgery | None]


def _read(subject: Subject) -> tuple[dict[str, Any], dict[str, bytes]]:
    return json.loads(subject.files["certificate.json"]), dict(subject.files)


def _forged(
    what: str, certificate: dict[str, Any], files: dict[str, bytes], *spoilt: str
) -> Forgery:
    """All hashes made anew, and the circuit of the folder that after the last step."""
    last = certificate["steps"][-1]["after"] if certificate["steps"] else certificate["lowered"]
    if "circuit.safetensors" in files:
        last = last.replace("\n\n", '\nweights "circuit.safetensors"\n\n', 1)
    files["circuit.cortico"] = last.encode()
    for name in certificate["files"]:
        if name in files:
            certificate["files"][name] = hashlib.sha256(files[name]).hexdigest()
    files["certificate.json"] = json.dumps(certificate).encode()
    return Forgery(what, certificate, files, spoilt)


def nothing(rng: random.Random, subject: Subject) -> Forgery:
    """Another order of names and other spaces: nothing is false."""
    certificate, files = _read(subject)
    items = list(certificate.items())
    rng.shuffle(items)
    return Forgery("reordered", dict(items), files, ())


#: Edits of one line of a circuit's text.
EDITS: tuple[tuple[str, Callable[[random.Random, re.Match[str]], str]], ...] = (
    (r"\^(-?)(\d)", lambda r, m: f"^{'' if m[1] else '-'}{m[2]}"),
    (r"weight (?=\w+\[)", lambda r, m: f"weight {r.choice(['2.0', '-1.0', '0.5'])} * "),
    (r"weight 1\.0", lambda r, m: f"weight {r.choice(['1.0000001', '-1.0', 'size(i)^1'])}"),
    (r"<= (-?\d+)", lambda r, m: f"<= {int(m[1]) + r.choice([-1, 1])}"),
    (r"where (\w+) - (\w+)", lambda r, m: f"where {m[2]} - {m[1]}"),
    (r" where .*", lambda r, m: ""),
    (r" (exp|relu)\b", lambda r, m: ""),
    (r"divides", lambda r, m: "multiplies"),
    (r"multiplies ?$", lambda r, m: r.choice(["divides", "multiplies 1.0"])),
    (r"\[(\w+), (\w+)", lambda r, m: f"[{m[2]}, {m[1]}"),
    (r"multiplies (\w+\[.*\])", lambda r, m: f"multiplies {m[1]} + {r.choice([m[1], '1.0'])}"),
    (r"^projection .*\n?", lambda r, m: ""),
    (r"(feature|model|area) (\d+)", lambda r, m: f"{m[1]} {int(m[2]) + 1}"),
    (r"\((\w+), (\w+)\)$", lambda r, m: f"({m[2]}, {m[1]})"),
    (r"^input (\w+) (\(.*\))$", lambda r, m: f"input {m[1]} {m[2]} mask"),
    (r"\bW_[QKVO]\w*(?=\[)", lambda r, m: r.choice(["W_Q", "W_K", "W_V", "W_O"])),
)


def _edited(rng: random.Random, text: str) -> tuple[str, str] | None:
    """A text with one line changed, and what was changed."""
    pattern, change = rng.choice(EDITS)
    places = list(re.finditer(pattern, text, re.MULTILINE))
    if not places:
        return None
    place = rng.choice(places)
    new = change(rng, place)
    line = text[: place.start()].count("\n") + 1
    return text[: place.start()] + new + text[place.end() :], f"line {line} {place[0]!r} -> {new!r}"


def circuits(rng: random.Random, subject: Subject) -> Forgery | None:
    """Every circuit from some step on is changed: the first, or one step is wrong."""
    certificate, files = _read(subject)
    texts = [certificate["lowered"], *(step["after"] for step in certificate["steps"])]
    k = rng.randrange(len(texts))
    edited = _edited(rng, texts[k])
    if edited is None or edited[0] == texts[k]:
        return None
    before, after = parsed(texts[k]), parsed(edited[0])
    facts = certificate["steps"][k - 1]["facts"] if k else []
    zeros = {fact["old"] for fact in facts if fact["kind"] == "zero"}
    if after is not None and not differs(before, after, zeros):
        return None  # it says the same in another way
    if k == 0:
        certificate["lowered"], spoilt = edited[0], ATTENTION
    else:
        certificate["steps"][k - 1]["after"] = edited[0]
        spoilt = f"{certificate['steps'][k - 1]['pass']} keeps the output"
    return _forged(f"circuit {k}, {edited[1]}", certificate, files, spoilt)


def all_circuits(rng: random.Random, subject: Subject) -> Forgery | None:
    """The same edit in every circuit: steps stay right, the first is no longer attention."""
    certificate, files = _read(subject)
    pattern, change = rng.choice(EDITS)
    state = rng.randrange(2**32)

    def everywhere(text: str) -> str:
        return re.sub(
            pattern, lambda m: change(random.Random(state), m), text, count=1, flags=re.MULTILINE
        )

    old = certificate["lowered"]
    certificate["lowered"] = everywhere(old)
    for step in certificate["steps"]:
        step["after"] = everywhere(step["after"])
    new = parsed(certificate["lowered"])
    if certificate["lowered"] == old or (new is not None and not differs(parsed(old), new)):
        return None
    return _forged(f"all circuits, {pattern}", certificate, files, ATTENTION)


def spec(rng: random.Random, subject: Subject) -> Forgery | None:
    """Another spec, in the certificate and beside it."""
    certificate, files = _read(subject)
    field, value = rng.choice(
        [
            ("mask", "causal"),
            ("mask", "none"),
            ("mask", "Causal"),
            ("kernel", "linear"),
            ("heads", rng.choice([1, 2, 4, 8, True])),
            ("scale", rng.choice([0.25, "1", None])),
            ("sink", not certificate["spec"].get("sink", False)),
            ("semi_saturation", 1.0 - bool(certificate["spec"].get("semi_saturation"))),
            ("extra_source", not certificate["spec"].get("extra_source", False)),
            ("key_padding", not certificate["spec"].get("key_padding", False)),
            ("bias", {"query": rng.random() < 0.5, "value": rng.random() < 0.5}),
            ("window", rng.choice([1, 2, 5])),
            ("tokens", rng.choice(["n", "m", 4, -1])),
            ("output", rng.choice([3, 9])),
            ("softcap", 30.0),
        ]
    )
    certificate["spec"][field] = value
    files["spec.json"] = json.dumps(certificate["spec"]).encode()
    try:
        other = spec_from_mapping(certificate["spec"])
        if not differs(lower(subject.spec), lower(other)):
            return None
    except SpecError:
        pass
    return _forged(f"spec {field} = {value!r}", certificate, files, ATTENTION)


def facts(rng: random.Random, subject: Subject) -> Forgery | None:
    """A fact is forged, dropped, or added, and what rests on it is put into the circuit."""
    certificate, files = _read(subject)
    last = certificate["steps"][-1]["after"] if certificate["steps"] else certificate["lowered"]
    tensors = re.findall(r"^parameter (\w+) .*stored", last, re.MULTILINE)
    read = [name for name in tensors if f" {name}[" in last]
    if not read:
        return None
    name = rng.choice(read)
    axes = re.search(rf" {name}\[([\w, ]*)\]", last)[1].split(", ")
    kind = rng.choice(["zero", "vanishing", "scaled", "same", "nonnegative"])
    gain = {"coefficient": "2", "sizes": []}
    term = {"coefficient": "1", "sizes": [], "reads": [[name, axes]]}
    output = re.search(r"output y = \w+\[([\w, ]*)\]", last)[1].split(", ")
    fact: dict[str, Any] = {"kind": kind, "old": name}
    after = last.replace(f" {name}[", f" 0.0 * {name}[")
    if kind == "vanishing":
        fact = {"kind": kind, "axes": output, "terms": [term]}
        after = last.replace(f" + {name}[{', '.join(axes)}]", "").replace(
            f"multiplies {name}[{', '.join(axes)}]", "multiplies 0.0"
        )
    if kind in ("scaled", "same"):
        fact |= {"new": f"{name}_v9"} | (gain if kind == "scaled" else {})
        after = re.sub(rf"\b{name}\b", f"{name}_v9", last).replace(
            f" {name}_v9[", f" 0.5 * {name}_v9["
        )
        after = after if kind == "scaled" else last.replace(f" {name}[", f" 2.0 * {name}[")
    arrays = load(files["circuit.safetensors"])
    if kind in ("zero", "vanishing", "scaled") and not arrays[name].any():  # then it is true
        return None
    if kind == "scaled":  # true of the circuit; the numbers stay those of the old name
        arrays[f"{name}_v9"] = arrays.pop(name)
        files["circuit.safetensors"] = save(arrays)
    if after == last:
        return None
    step = {"pass": "fold-constants", "after": after, "facts": [fact]}
    certificate["steps"].append(step)
    claimed = {"claim": "fold-constants keeps the output", "verdict": "proved for all sizes"}
    certificate["claims"].append(claimed | {"detail": "", "given": []})
    if kind == "scaled":
        return _forged(f"forged {kind} of {name}", certificate, files, NUMBERS)
    return _forged(f"forged {kind} of {name}", certificate, files, claimed["claim"])


def facts_changed(rng: random.Random, subject: Subject) -> Forgery | None:
    """A fact that is used is dropped, or one of its words changed."""
    certificate, files = _read(subject)
    used = [(s, k) for s in certificate["steps"] for k, _ in enumerate(s["facts"])]
    used = [(s, k) for s, k in used if s["facts"][k]["kind"] not in ("zero", "nonnegative")]
    if not used:
        return None
    step, k = rng.choice(used)
    fact = step["facts"][k]
    if rng.random() < 0.5:
        step["facts"].pop(k)
        what = f"fact {fact['kind']} dropped"
    else:
        choices = [
            key
            for key in ("new", "old", "coefficient", "plus", "value", "axis", "kind")
            if fact.get(key)
        ]
        key = rng.choice(choices)
        what = f"fact {fact['kind']}.{key} changed"
        fact[key] = {"coefficient": "3", "kind": "true", "value": "7.25"}.get(key, fact[key] + "x")
    return _forged(what, certificate, files, f"{step['pass']} keeps the output")


def steps(rng: random.Random, subject: Subject) -> Forgery | None:
    """A step is dropped from the end, or two change places."""
    certificate, files = _read(subject)
    if not certificate["steps"]:
        return None
    if rng.random() < 0.5:
        gone = certificate["steps"].pop(rng.randrange(len(certificate["steps"])))
        files["circuit.cortico"] = subject.files["circuit.cortico"]
        if gone["pass"] in {step["pass"] for step in certificate["steps"]}:
            return None  # another stage of the same pass may be enough
        what, claim = f"step {gone['pass']} dropped", f"{gone['pass']} keeps the output"
        return _forged(what, certificate, files, claim)
    names = [step["pass"] for step in certificate["steps"]]
    k = rng.randrange(len(names))
    certificate["steps"][k]["pass"] = "other"
    return _forged(f"step {names[k]} renamed", certificate, files, "other keeps", "nothing keeps")


def weights(rng: random.Random, subject: Subject) -> Forgery | None:
    """Numbers in the folder are changed."""
    certificate, files = _read(subject)
    if "circuit.safetensors" not in files:
        return None
    arrays = {name: array.copy() for name, array in load(files["circuit.safetensors"]).items()}
    name = rng.choice(sorted(arrays))
    place = tuple(rng.randrange(side) for side in arrays[name].shape)
    if rng.random() < 0.5:
        arrays[name] = arrays[name] * 3
    else:
        arrays[name][place] += rng.choice([1e-6, 1.0])
    if np.array_equal(arrays[name], load(files["circuit.safetensors"])[name]):
        return None
    files["circuit.safetensors"] = save(arrays)
    return _forged(f"numbers of {name}", certificate, files, NUMBERS, "rotary embedding")


def claims(rng: random.Random, subject: Subject) -> Forgery | None:
    """A claim is added, removed, upgraded, or given other words."""
    certificate, files = _read(subject)
    listed = certificate["claims"]
    k, what = rng.randrange(len(listed)), rng.choice(["add", "remove", "word", "text", "given"])
    if what == "add":
        text = rng.choice(["it is fast", "prune-more keeps the output", "y is positive"])
        listed.insert(
            k, {"claim": text, "verdict": "proved for all sizes", "detail": "", "given": []}
        )
        return _forged(f"claim {text} added", certificate, files, text)
    if what == "remove":
        text = listed.pop(k)["claim"]
        return _forged(f"claim {text} removed", certificate, files, text)
    if what == "word":
        listed[k]["verdict"] = rng.choice(["proved", "PROVED FOR ALL SIZES", "sure", "\x1b[1m"])
        return _forged("a word of its own", certificate, files, listed[k]["claim"])
    if what == "given":
        listed[k]["given"] = [*listed[k]["given"], "W_Q = 0"]
        return _forged("a condition added", certificate, files, listed[k]["claim"])
    listed[k]["claim"] += " and is fast"
    return _forged("a claim with more text", certificate, files, listed[k]["claim"])


def beside(rng: random.Random, subject: Subject) -> Forgery:
    """Files: none listed, one not listed, one changed, one more."""
    certificate, files = _read(subject)
    what = rng.choice(["none", "one", "code", "more", "circuit", "spec"])
    name = rng.choice(sorted(certificate["files"]))
    if what == "none":
        certificate["files"] = {}
        return _forged("no files", certificate, files, "file")
    if what == "one":
        del certificate["files"][name]
        return _forged(f"{name} not listed", certificate, files, f"file {name}")
    if what == "code":
        files["attention.py"] = files["attention.py"] + b"\nimport os\n"
        return _forged("code", certificate, files, "file attention.py", "the emitted NumPy code")
    if what == "more":
        files["sitecustomize.py"] = b"import os\n"
        return _forged("one file more", certificate, files, "file sitecustomize.py")
    forged = _forged(
        what, certificate, files, f"file {'circuit.cortico' if what == 'circuit' else 'spec.json'}"
    )
    if what == "circuit":
        forged.files["circuit.cortico"] += b"# more\n"
    else:
        forged.files["spec.json"] = forged.files["spec.json"].replace(b'"heads"', b'"Heads"')
    file = "circuit.cortico" if what == "circuit" else "spec.json"
    forged.certificate["files"][file] = hashlib.sha256(forged.files[file]).hexdigest()
    return forged


def junk(rng: random.Random, subject: Subject) -> Forgery:
    """Any value of the certificate becomes something else of the wrong kind."""
    certificate, files = _read(subject)
    inner: Any = certificate
    key = rng.choice(["cortico_certificate", "spec", "lowered", "steps", "claims"])
    while isinstance(inner[key], dict | list) and inner[key] and rng.random() < 0.7:
        inner = inner[key]
        key = rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
    if inner is certificate["spec"] and key == "name":
        inner, key = certificate, "lowered"
    old = copy.deepcopy(inner[key])
    inner[key] = rng.choice([None, [], {}, 1e300, -7, "\x1b[2J\n", ["x"] * 3, {"x": {}}, 10**30])
    files["certificate.json"] = b""
    spoilt = () if old == inner[key] else ("the certificate",)
    return Forgery(f"{key} is {inner[key]!r}", certificate, files, spoilt)


ATTACKS: tuple[Attack, ...] = (
    nothing,
    circuits,
    circuits,
    circuits,
    all_circuits,
    spec,
    facts,
    facts,
    facts_changed,
    steps,
    weights,
    weights,
    claims,
    beside,
    junk,
)
