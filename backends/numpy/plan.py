"""The plan of an emitted NumPy file: its program, what is packed, what runs in tiles, what ranks share."""

from __future__ import annotations

from dataclasses import dataclass

from cortico.backends.arrays.file import ArrayFile, checked, flags, token_numbers
from cortico.backends.arrays.operations import PastProduct
from cortico.backends.numpy.operations import Project, ThreadedWriter
from cortico.backends.numpy.packing import Packing, pack
from cortico.backends.numpy.ranks import Ranks
from cortico.backends.numpy.sharing import Shared, shared_axes
from cortico.backends.numpy.tiling import Tiling, tiled
from cortico.ir import Circuit, Input, Role


@dataclass(frozen=True)
class Entry:
    """What a file calls the function of a circuit, and what belongs to it."""

    function: str = "attention"
    mark: str = ""  #: behind the names of all others, where a file has several circuits
    goes_on: bool = (
        False  #: tokens may come after those of earlier calls, where the circuit can do that
    )
    once: frozenset[str] = frozenset()  #: inputs that do not go on: the same in all calls

    @property
    def pack(self) -> str:
        return f"pack{self.mark}"

    @property
    def packed(self) -> str:
        return f"Packed{self.mark}"

    @property
    def stored(self) -> str:
        return f"stored{self.mark}"

    @property
    def step(self) -> str:
        return f"step{self.mark}"


class Plan(ArrayFile):
    """What the file of one circuit does; `on_ranks`, with a communicator, if there is something to share."""

    def __init__(self, circuit: Circuit, on_ranks: bool, entry: Entry = Entry()) -> None:
        super().__init__(circuit, ThreadedWriter)
        self.entry = entry
        #: Weights whose sizes are numbers, and those whose sizes are known only with the inputs.
        self.fixed = [p for p in self.plain if all(isinstance(side, int) for side in p.shape)]
        self.sized_later = [p for p in self.plain if p not in self.fixed]
        self.shared = self._shared() if on_ranks else None
        self.ranks = Ranks(self.shared, self.program, self.sizes)
        self.packing: Packing = self.ranks.apart(
            pack(
                self.program,
                self.results,
                [self.names[p.name] for p in self.fixed],
                self.ranks.write_weights,
                self.shared.row if self.shared else None,
            )
        )
        self.tiling: Tiling = tiled(
            self.packing.statements,
            self.packing.results,
            self.tokens,
            frozenset(axis.name for axis in self.axes if axis.role is Role.AREA),
            self.planner.sizes,
            {axis.name: axis.extent for axis in self.axes},
        )

    def _shared(self) -> Shared | None:
        weights = frozenset(self.names[p.name] for p in self.plain)
        areas = [axis for axis in self.axes if axis.role is Role.AREA]
        areas.sort(key=lambda axis: axis.extent == 1)
        return shared_axes(
            self.program,
            self.results,
            [axis.name for axis in areas if isinstance(axis.extent, int)],
            self.tokens,
            frozenset(self.names.values()) - weights,
            weights,
        )

    def rate(self, tensor: Input, name: str) -> str:
        return checked(tensor, name, "dtype")

    def ids(self, tensor: Input, name: str) -> str:
        return checked(tensor, token_numbers(tensor, name), "int")

    def gate(self, tensor: Input, name: str) -> str:
        return self.write.cast(checked(tensor, flags(tensor, name), "bool"))

    @property
    def fits(self) -> bool:
        """Whether ranks share nothing, or whole tiles."""
        return self.tiling.tile is None or self.ranks.has(self.tiling.tile)

    @property
    def recalls(self) -> bool:
        """Whether there are products with the past."""
        return any(isinstance(s.operation, PastProduct) for s in self.packing.statements)

    @property
    def has_threads(self) -> bool:
        """Whether some of the work is shared by threads."""
        products = any(isinstance(s.operation, Project) for s in self.packing.statements)
        return self.tiling.tile is not None or self.recalls or products


def plan(circuit: Circuit, on_ranks: bool, entry: Entry = Entry()) -> Plan:
    """The plan for a circuit. `on_ranks` or not, where ranks cannot share tiles they share nothing."""
    found = Plan(circuit, on_ranks, entry)
    return found if found.fits else Plan(circuit, on_ranks=False, entry=entry)
