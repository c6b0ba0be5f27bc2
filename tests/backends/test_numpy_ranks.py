"""Emitted NumPy on many MPI ranks: the same numbers, one collective, and only a rank's share of the work.

Ranks are threads here, with a communicator of a few lines; `test_under_mpiexec` has real ones.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cortico.backends.numpy import compile_source, emit_source
from cortico.lowering import lower
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error

CASE = {case.name: case for case in CASES}


class Meeting:
    """Where so many ranks meet: each brings an array and gets the sum."""

    def __init__(self, ranks):
        self.ranks, self.count = ranks, 0
        self.barrier = threading.Barrier(ranks, timeout=60)
        self.parts = [None] * ranks


class Communicator:
    """What emitted code calls of mpi4py's, for one thread of a process."""

    def __init__(self, meeting, rank):
        self.meeting, self.rank = meeting, rank
        self.calls = 0

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return self.meeting.ranks

    def Allreduce(self, part, total):
        assert part.flags.c_contiguous and total.flags.c_contiguous
        self.calls += 1
        self.meeting.parts[self.rank] = part
        self.meeting.barrier.wait()
        total[...] = sum(self.meeting.parts)
        self.meeting.barrier.wait()


def on_ranks(ranks, attention, **arguments):
    """What every rank returns, and their communicators."""
    meeting = Meeting(ranks)
    comms = [Communicator(meeting, rank) for rank in range(ranks)]

    def one(comm):
        try:
            return attention(**arguments, comm=comm, threads=1)
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(ranks) as pool:
        return [*pool.map(one, comms)], comms


def emitted(circuit, **replaced):
    attention = compile_source(emit_source(circuit))
    attention.__globals__.update(replaced)
    return attention


def stored(circuit):
    return {p.name: p.values for p in circuit.parameters if p.formula is None}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_ranks_give_what_one_process_gives(case):
    circuit, expected = lower(case.spec, case.weights), expected_output(case)
    attention = emitted(circuit, TILE=(2, 2))
    for ranks in (2, 3):
        found, comms = on_ranks(ranks, attention, **case.inputs, weights=stored(circuit))
        assert [comm.calls for comm in comms] == [1] * ranks
        for y in found:
            assert relative_error(y, expected) <= 1e-12
