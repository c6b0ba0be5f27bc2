"""What emitted scripts use of ANNarchy, in NumPy: its equations as its manual says they are integrated.

ANNarchy takes half a minute to compile a network, and is not installed everywhere. Of what this shows, that ANNarchy
reads equations so is not a part: `tests/conformance/test_annarchy.py` shows that where it is installed.
"""

import re
import types

import numpy as np

FUNCTIONS = {
    "where": np.where,
    "pos": lambda x: np.maximum(x, 0.0),
    "exp": np.exp,
    "tanh": np.tanh,
    "sqrt": np.sqrt,
}


class Neuron:
    """Parameters with their values, and equations in order; r is the answer of the one with exponential Euler."""

    def __init__(self, parameters, equations):
        given = (line.partition(":")[0].split("=") for line in parameters.strip().splitlines())
        self.parameters = {name.strip(): float(value) for name, value in given}
        self.equations = [*map(_equation, equations.strip().splitlines())]


def _equation(line):
    """The name that gets a value, and code for it."""
    name, text = line.strip().split(" = ", 1)
    if name == "tau * dr/dt + r":
        name, text = "r", text.removesuffix(" : exponential")
    text = re.sub(r"^if (.*?): (.*) else: (.*)$", r"where(\1, \2, \3)", text)
    return name, compile(re.sub(r"sum\((\w+)\)", r"heard('\1')", text), line, "eval")


class Population:
    def __init__(self, size, neuron):
        self.size, self.neuron, self.r, self.onto = size, neuron, np.zeros(size), {}
        for name, value in neuron.parameters.items():
            setattr(self, name, value)

    def __setattr__(self, name, value):
        """A number is that of all cells."""
        of_cells = isinstance(value, float) and name != "size"
        super().__setattr__(name, np.full(self.size, value) if of_cells else value)

    def heard(self, target):
        arrives = (weights.T @ pre.r for pre, weights in self.onto.get(target, []))
        return sum(arrives, np.zeros(self.size))

    def after(self, t, dt):
        """The rates a step later."""
        values = {**vars(self), **FUNCTIONS, "t": t, "heard": self.heard}
        with np.errstate(all="ignore"):
            for name, code in self.neuron.equations:
                values[name] = eval(code, values)
            return self.r + (1 - np.exp(-dt / self.tau)) * (values["r"] - self.r)


class Network:
    def __init__(self, dt):
        self.dt, self.steps, self.populations = dt, 0, []

    @property
    def time(self):
        return self.steps * self.dt

    def create(self, size, neuron, name):
        self.populations.append(Population(size, neuron))
        return self.populations[-1]

    def connect(self, pre, post, target):
        def from_sparse(weights, storage_format):
            post.onto.setdefault(target, []).append((pre, weights))

        return types.SimpleNamespace(from_sparse=from_sparse)

    def config(self, num_threads):
        pass

    def compile(self, folder, compiler_flags, silent):
        pass

    def step(self):
        rates = [cells.after(self.time, self.dt) for cells in self.populations]
        for cells, new in zip(self.populations, rates, strict=True):
            cells.r = new
        self.steps += 1

    def simulate(self, time):
        for _ in range(round(time / self.dt)):
            self.step()
