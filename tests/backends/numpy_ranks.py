"""Ranks that are threads, with a communicator of a few lines, for emitted NumPy."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cortico.backends.numpy import compile_source, emit_source
from cortico.lowering import lower
from cortico.spec import AttentionSpec
from cortico.spec.weights import random_weights
from tests.backends.numpy_files import stored


class Communicator:
    """What emitted code calls of mpi4py's; `parts` and `barrier` are of all ranks."""

    def __init__(self, rank, parts, barrier):
        self.rank, self.parts, self.barrier, self.calls = rank, parts, barrier, 0

    def Get_rank(self):  # noqa: N802
        return self.rank

    def Get_size(self):  # noqa: N802
        return len(self.parts)

    def Allreduce(self, part, total):  # noqa: N802
        assert part.flags.c_contiguous and total.flags.c_contiguous and part.shape == total.shape
        self.calls += 1
        self.parts[self.rank] = part
        self.barrier.wait()
        total[...] = sum(self.parts)
        self.barrier.wait()


def on_ranks(ranks, function, *arguments, **options):
    """What every rank returns, and their communicators; `function` takes one as `comm`."""
    parts, barrier = [None] * ranks, threading.Barrier(ranks, timeout=600)
    comms = [Communicator(rank, parts, barrier) for rank in range(ranks)]

    def one(comm):
        try:
            return function(*arguments, **options, comm=comm)
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(ranks) as pool:
        futures = [pool.submit(one, comm) for comm in comms]
    errors = [future.exception() for future in futures if future.exception()]
    for error in sorted(errors, key=lambda e: isinstance(e, threading.BrokenBarrierError)):
        raise error
    return [future.result() for future in futures], comms


def emitted(circuit, **replaced):
    attention = compile_source(emit_source(circuit, on_ranks=True))
    there = attention.__globals__
    there.update({name: value for name, value in replaced.items() if name in there})
    return attention


def layer(**options):
    spec = AttentionSpec(**{"model": 8, "heads": 4} | options)
    circuit = lower(spec, random_weights(spec, 0))
    return circuit, emitted(circuit, TILE=(2, 2)), stored(circuit)


def tokens(*shape):
    return np.random.default_rng(1).standard_normal(shape)
