"""Broken and hostile files for every reader: a value, or one readable error, in bounded time and memory.

A trial takes one of the files of `reader_files`, changes it at random, blindly or by what texts and numbers
are, and reads it as the command line does. It is wrong when anything but a CorticoError of at most 2,000
characters comes out, when it takes more than five seconds, and when the process has grown past a gigabyte: a
process that does nothing else, so that it answers for its own memory only.
"""

from __future__ import annotations

import argparse
import atexit
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

from cortico.ir.errors import CorticoError
from tests.attack import reader_files
from tests.attack.bounded import BYTES, CHARACTERS, SECONDS, TooSlow, alarm, most_resident
from tests.attack.reader_files import Seed
from tests.attack.sandbox import Sandbox, serve
from tests.attack.trial import Trial

_SANDBOX = Sandbox("tests.attack.readers", seconds=120.0)

#: Numbers that readers trip over, as they are written.
NUMBERS = (
    *(
        "0",
        "-1",
        "1",
        "2",
        "3",
        "7",
        "65536",
        "4294967296",
        "9223372036854775807",
        "1e400",
        "-1e309",
    ),
    *(
        "NaN",
        "Infinity",
        "inf",
        "nan",
        "1e-400",
        "0.1",
        "1_000",
        "0x10",
        "١٢",
        "²",
        "9" * 400,
        "9" * 5000,
    ),
    *("null", "true", '"8"', "[8]", "{}", "-0", "1e308", "20000", "999999999999"),
)
_NUMBER = re.compile(rb"-?\d+(\.\d+)?")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9]*")
_INSERTED = (
    *(
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r\n",
        b"\n",
        b"[",
        b"{",
        b'"',
        b"#",
        b"&a ",
        b"*a",
        b"<<: ",
    ),
    *(
        b"\xed\xa0\x80",
        b"\x1b[2J",
        b"(",
        b")",
        b",",
        b"=",
        b"@",
        b" - ",
        b"\t",
        b"[" * 2000,
        b"a." * 500,
    ),
)


def trial(seed: int) -> Trial:
    """One file, changed by the seed, and what its reader makes of it; no reader may end its process."""
    return _SANDBOX.reading(seed)


def attempt(seed: int) -> Trial:
    """What `trial` says, in this process."""
    random = Random(seed)
    chosen = random.choice(_seeds())
    content = chosen.content
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        content = random.choice(TEXT_CHANGES if chosen.is_text else BINARY_CHANGES)(content, random)
    chosen.path.write_bytes(content)
    start = time.process_time()
    try:
        said, wrong = _outcome(chosen.read, content)
    finally:
        chosen.path.write_bytes(chosen.content)
    detail = f"{chosen.name}: {wrong} {content[:400]!r}" if wrong else chosen.name
    return Trial(said, bool(wrong), detail, chosen.kind, time.process_time() - start)


def _outcome(read: Callable[[bytes], object], content: bytes) -> tuple[str, str]:
    """The word for what happened, and what is wrong with it, if anything."""
    start = time.perf_counter()
    try:
        with alarm():
            read(content)
        said, wrong = "read", ""
    except (CorticoError, argparse.ArgumentTypeError) as error:
        text = str(error)
        said, wrong = (
            "refused",
            "" if 0 < len(text) <= CHARACTERS else f"error of {len(text)} characters",
        )
    except TooSlow:
        return "hung", f"more than {SECONDS} s"
    except Exception as error:
        return "broke", f"{type(error).__name__}: {error}"[:300]
    seconds, grown = time.perf_counter() - start, _grown()
    if grown:
        wrong = f"{grown:,} bytes after {seconds:.1f} s"
    return said, wrong


def _grown() -> int:
    """Bytes that the process has at its most, once when that is past what is allowed."""
    most = most_resident()
    past = most > BYTES and most > _grown.__dict__.get("told", 0) * 1.2
    if past:
        _grown.__dict__["told"] = most
    return most if past else 0


@cache
def _seeds() -> list[Seed]:
    """The valid files, written once to a folder that goes when the process ends."""
    folder, owner = Path(tempfile.mkdtemp(prefix="cortico-readers-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # a fork of this process leaves it to this one
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return reader_files.seeds(folder)


# ---- changes -------------------------------------------------------------------------------------


def _flip(content: bytes, random: Random) -> bytes:
    changed = bytearray(content or b"\0")
    for _ in range(random.choice((1, 1, 4, 32))):
        changed[_place(changed, random) % len(changed)] ^= 1 << random.randrange(8)
    return bytes(changed)


def _insert(content: bytes, random: Random) -> bytes:
    place = _place(content, random)
    return content[:place] + random.choice(_INSERTED) + content[place:]


def _delete(content: bytes, random: Random) -> bytes:
    place = _place(content, random)
    return content[:place] + content[place + random.choice((1, 2, 8, 64)) :]


def _cut(content: bytes, random: Random) -> bytes:
    return content[: _place(content, random)]


def _repeat(content: bytes, random: Random) -> bytes:
    start = _place(content, random)
    chunk = content[start : start + random.choice((4, 32, 256, len(content)))]
    times = random.choice((2, 2, 2, 8, max(1, 60_000 // (len(chunk) + 1))))
    return content[:start] + chunk * times + content[start + len(chunk) :]


def _size_field(content: bytes, random: Random) -> bytes:
    """Eight, four or two bytes that say something else, as sizes and offsets are stored."""
    width, place = random.choice((2, 4, 8)), _place(content, random)
    number = random.choice((0, 1, 2**7, 2**15 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1))
    return (
        content[:place]
        + (number % 2 ** (8 * width)).to_bytes(width, "little")
        + content[place + width :]
    )


def _number(content: bytes, random: Random) -> bytes:
    return _replaced(content, random, _NUMBER, lambda _: random.choice(NUMBERS).encode())


def _word(content: bytes, random: Random) -> bytes:
    """A name becomes another of the file, longer, or a number."""
    others = _WORD.findall(content) or [b"x"]
    choices = (
        random.choice(others),
        random.choice(others) * 2,
        b"x" * 3000,
        b"",
        b"__init__",
        b"1",
    )
    return _replaced(content, random, _WORD, lambda _: random.choice(choices))


def _lines(content: bytes, random: Random) -> bytes:
    """A line goes, stands twice, or elsewhere."""
    lines = content.split(b"\n")
    line = lines.pop(random.randrange(len(lines)))
    for _ in range(random.choice((0, 1, 2, 2))):
        lines.insert(random.randrange(len(lines) + 1), line)
    return b"\n".join(lines)


def _nested(content: bytes, random: Random) -> bytes:
    deep = random.choice((3, 50, 900, 5000))
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"(", b")")))
    value = opening * deep + b"1" + closing * deep
    return _replaced(content, random, _NUMBER, lambda _: value)


def _replaced(
    content: bytes, random: Random, pattern: re.Pattern[bytes], new: Callable[[bytes], bytes]
) -> bytes:
    found = list(pattern.finditer(content))
    if not found:
        return _insert(content, random)
    one = random.choice(found)
    return content[: one.start()] + new(one.group()) + content[one.end() :]


def _place(content: bytes | bytearray, random: Random) -> int:
    """Often near the beginning or the end, where headers and directories stand."""
    size = len(content)
    near = random.choice((size, size, min(size, 200), min(size, 16)))
    place = random.randrange(near + 1)
    return place if random.random() < 0.8 else size - place


_BLIND = (_flip, _insert, _delete, _cut, _repeat)
#: Of texts, and of files of numbers.
TEXT_CHANGES = (*_BLIND, _number, _number, _number, _word, _word, _lines, _lines, _nested)
BINARY_CHANGES = (*_BLIND, _size_field, _size_field, _number, _number, _word, _nested)


if __name__ == "__main__":
    serve(attempt)
