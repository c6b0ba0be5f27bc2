"""What the benchmarks share: the machine, its load, results as JSON, goals, and runs that only show that they run.

    SMOKE=FOLDER python benchmarks/startup.py

takes small sizes, checks no goal and writes its results to the folder: `tests/test_benchmarks.py` does so.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[1]
SMOKE = os.environ.get("SMOKE")  #: the folder of results of a run that only shows that it runs
RESULTS = Path(SMOKE) if SMOKE else ROOT / "benchmarks" / "results"

Size = TypeVar("Size")


def sized(usual: Size, smoke: Size) -> Size:
    """`usual`, or `smoke` in a run that only shows that it runs."""
    return smoke if SMOKE else usual


def machine(packages: Iterable[str] = ("numpy", "brian2", "cython")) -> dict[str, Any]:
    """What the figures are measured on, and how busy it was with other things (load, 1 minute)."""
    return {
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def say_if_busy() -> None:
    """One line when others use the machine: seconds are then upper bounds."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > 0.5 * cores:
        print(f"the machine is busy: load {load:.1f} on {cores} cores; seconds are upper bounds")


def resident(field: str) -> float:
    """A field of /proc/self/status in bytes; where there is none, the peak so far.

    Not ru_maxrss on Linux: a new process inherits its parent's there.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return 1024 * float(next(line.split()[1] for line in lines if line.startswith(field)))
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def restart_peak() -> float:
    """From now on the peak resident size is that since now; the present size in bytes.

    What was freed is given back first, else a run takes it anew unseen. See `man 5 proc`, /proc/pid/clear_refs,
    and `man 3 malloc_trim`.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return resident("VmRSS")


def write_results(name: str, results: dict[str, Any]) -> None:
    """Write results/NAME.json, under a temporary name first."""
    path = RESULTS / f"{name}.json"
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    temporary.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def verdict(missed: Iterable[str]) -> int:
    """Print what was missed; 1 when something was, but in a run that only shows that it runs."""
    texts = [f"goal missed: {text}" for text in missed]
    print("\n".join(texts) or "all goals met")
    return int(bool(texts) and not SMOKE)
