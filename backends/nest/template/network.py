"""Circuit {title} as a NEST network of rate neurons, compiled by cortico.

    python attention_nest.py inputs.npz -o outputs.npz

Every unit is a rate neuron that NEST brings: sums are lin_rate_ipn, transfer functions sigmoid_rate_ipn,
threshold_lin_rate_ipn and tanh_rate_ipn. NEST multiplies a neuron's own rate only (mult_coupling), so that
products and quotients are what such neurons settle to:

    reciprocal   X' = 1 - X - X b/s                  settles to 1 / (1 + b/s)
    quotient     X' = a (1 - X/c) - X (d - a/c)      settles to a / d
    product      quotient of a by the reciprocal of b, which is a + a b/s; a soma takes a away and scales by s
    root         X' = x (1 - X/c) + X x/c - X X      settles to the root of x
    exponential  e^110 / (1 + e^(110 - x))           is e^x but for a part e^(x - 110) of it

A quotient gets a by a positive weight, and -a/c by a negative one, as excitation and inhibition are told
apart by the sign of the weight. c is the largest |a/d| or root of the population, s is 4 times the largest |b|.

The units of the whole network are made first and wait. They are let go stage by stage, when what they
hear has settled, so that c, s and the time constant of what is divided (it is proportional to |d|) can be
set to what arrives. Where b is zero the
scale of a product is zero; where d is zero a unit is not let go: x / 0 is 0. A signal passes at
most {chain} units; each stage runs as long as its own chain of units needs for `tolerance`, at a part
1 - exp(-dt / tau) of the way in a step. Then it is held at its rates. Units that went on would jitter in
their last digits for ever, and a product, the difference of two large signals that come one after another,
makes several jitters of one: a chain of many would make a large error of it. These units are steps of a computation, so tau is one number and
not a cell's.

The rates settle to multihead attention: Granier & Senn, Multihead self-attention in cortico-thalamic
circuits, arXiv 2504.06354. Rates have no unit: they are relative to a baseline and may be negative.

{tensors}
"""

import functools
from typing import Any

import nest
import numpy as np

from cortico.backends.cells.template import by_cell, numbered
from cortico.backends.recordings.template import recorded_rates

HEADROOM = 4.0  # of s over the largest factor: products lose that many roundings
EXPONENT = 110.0  # where the sigmoid that stands for exp bends
LARGEST = np.exp(EXPONENT - 23)  # up to here its rates are exact, but for 1e-10 of them
SMALLEST = np.exp(-60.0)  # what is left of the way there stays below it
# Of the part that others go: at full steps what is divided would jitter by a rounding
DAMPING = 0.9
NEVER = np.inf  # ms: the time constant of a unit that waits, or is held
BLOCK = 1_000_000  # synapses handed to NEST at once
TRANSFERS: Any = (
    ...
)  # transfer function to a model of NEST and its parameters, or to a method of Network


class Network:
    """Units and synapses, and the stages in which they are let go."""

    def __init__(self, dt, tau, tolerance, threads):
        nest.ResetKernel()
        nest.verbosity = nest.VerbosityLevel.ERROR
        if nest.num_processes > 1:
            raise RuntimeError("this script reads the rates of all units: use threads, not MPI")
        nest.set(
            resolution=dt, min_delay=dt, max_delay=dt, local_num_threads=threads, use_wfr=False
        )
        self.dt, self.tau, self.tolerance = dt, tau, tolerance
        self.part = 1 - np.exp(-dt / tau)  # of its way that a unit goes in a step
        self.damped = DAMPING * self.part
        self.somas = np.zeros(0, int)  # NEST's number of the unit that fires a cell's rate
        self.populations, self.stages = [], []
        self.starts, self.heard, self.left = [], [], {}

    # ---- what the circuit is made of

    def population(self, name, *axes, transfer="identity", multiply={}, divide={}, where=True):
        """Make the units of each cell; returns the numbers of cells, -1 where there is none."""
        first = self.somas.size
        numbers, count = numbered(first, axes, where)
        place = np.maximum(numbers[axes] - first, -1)
        own = transfer == "identity" or not isinstance(TRANSFERS[transfer], str)
        plain = len(multiply) == 1 and not divide and own
        if count:
            drives = {
                d: by_cell(place, count, values) for d, values in {**multiply, **divide}.items()
            }
            sums = {
                d: self.sums(values, transfer if plain else "identity")
                for d, values in drives.items()
            }
            self.populations.append((range(first, first + count), sums))
            somas = sums[next(iter(multiply))] if plain else self.product_of(sums, divide, transfer)
            self.somas = np.append(self.somas, somas)
        return numbers

    def connect(self, pre, post, compartment, weight, where=True):
        """Make the synapses between cells that exist."""
        pre, post, weight, where = np.broadcast_arrays(pre, post, weight, where)
        exists = where & (pre >= 0) & (post >= 0)
        pre, post, weight = pre[exists], post[exists], weight[exists]
        if pre.size:
            cells, sums = next(found for found in self.populations if post[0] in found[0])
            self.wire(self.somas[pre], sums[compartment][post - cells.start], weight)

    def settle(self):
        """Let the units go, stage by stage, until the last are at rest; rates by number, 0 for -1."""
        for stage, (units, parameters, left) in enumerate(self.stages):
            nest.NodeCollection(units.tolist()).set(
                parameters() if parameters else {"tau": self.tau}
            )
            self.left[stage] = left
        self.run()
        return np.append(self.rates(self.somas), 0.0)

    def stage_of(self, unit):
        """The number of the stage in which a unit is let go."""
        return np.searchsorted(self.starts, unit, side="right") - 1

    # ---- units

    def create(self, model, count, parameters=None, left=None, **fixed):
        """So many units of a model of NEST, which wait until they are let go; their numbers there.

        `parameters()` then gives what depends on the rates that arrive; `left` is the part of its way
        that a unit has still to go after a step.
        """
        made = nest.Create(model, count, {"sigma": 0.0, "tau": NEVER, **fixed})
        units = np.array(made.tolist())
        self.stages.append((units, parameters, 1 - self.part if left is None else left))
        self.starts.append(units[0])
        self.heard.append(set())
        return units

    def sums(self, drives, transfer="identity"):
        """Units that fire transfer(drive + what they hear)."""
        model, fixed = TRANSFERS[transfer]
        bend = EXPONENT if transfer == "exp" else 0.0
        name, values = ("mu", drives) if transfer == "identity" else ("theta", bend - drives)
        own = values.tolist() if len(values) > 1 else values[0]  # NEST takes no list for one unit
        return self.create(model, len(drives), **fixed, **{name: own})

    def product_of(self, sums, divide, transfer):
        """Units that fire transfer(product of the sums that multiply / product of those that divide)."""
        count = len(next(iter(sums.values())))
        factors = [units for name, units in sums.items() if name not in divide]
        factors = factors or [self.sums(np.ones(count))]
        for name in divide:  # what is divided is then small, so that it comes last
            factors.append(self.quotient(factors.pop(0), sums[name]))
        while len(factors) > 1:
            factors.append(self.product(factors.pop(0), factors.pop()))
        return factors[0] if transfer == "identity" else self.fired(factors[0], transfer)

    def fired(self, x, transfer):
        """Units that fire transfer(x)."""
        made = TRANSFERS[transfer]
        if isinstance(made, str):
            return getattr(self, made)(x)
        fired = self.sums(np.zeros(len(x)), transfer)
        self.wire(x, fired, 1.0)
        return fired

    def root(self, x):
        """Units that fire the root of x, by hearing themselves: 0 where x is not positive."""
        largest = functools.cache(lambda: np.sqrt(self.rates(x).max(initial=0.0)) or 1.0)
        minus = self.create("lin_rate_ipn", len(x), lambda: {"tau": self.tau, "g": 1 / largest()})
        fixed = {"lambda": 0.0, "mult_coupling": True, "theta_in": 0.0, "g_in": 1.0}
        left = 1 - self.damped / 2  # from 0 they start at half of the pace
        root = self.create("lin_rate_ipn", len(x), lambda: self.rooted(x, largest()), left, **fixed)
        for source, weight in ((x, 1.0), (minus, -1.0), (root, -1.0)):
            self.wire(source, root, weight)
        self.wire(x, minus, -1.0)
        return root

    def rooted(self, units, largest):
        """Parameters of roots: as fast as others, waiting for ever where there is none."""
        x = self.rates(units)
        tau = np.where(x > 0, 2 * np.sqrt(np.maximum(x, 0.0)) * self.dt / self.damped, NEVER)
        return [{"tau": t, "g_ex": 1 / largest, "theta_ex": largest} for t in tau.tolist()]

    def gated(self, x):
        """Units that fire x / (1 + e^-x): x times a sigmoid."""
        share = self.create("sigmoid_rate_ipn", len(x), beta=1.0, g=1.0)
        self.wire(x, share, 1.0)
        return self.product(x, share)

    def quotient(self, a, d):
        """Units that fire a / d."""
        largest = functools.cache(lambda: np.abs(self.shared(a, d)).max() or 1.0)
        minus = self.create("lin_rate_ipn", len(a), lambda: {"tau": self.tau, "g": 1 / largest()})
        fixed = {"lambda": 0.0, "mult_coupling": True, "theta_in": 0.0}
        quotient = self.create(
            "lin_rate_ipn", len(a), lambda: self.shunted(d, largest()), 1 - self.damped, **fixed
        )
        self.wire(a, minus, -1.0)
        for source, weight in ((a, 1.0), (minus, -1.0), (d, -1.0)):
            self.wire(source, quotient, weight)
        return quotient

    def shared(self, a, d):
        """The rates of a over those of d, 0 where that is 0."""
        a, d = self.rates(a), self.rates(d)
        return np.divide(a, d, out=np.zeros(len(a)), where=d != 0)

    def shunted(self, units, largest):
        """Parameters of what is divided by units: as fast as others, waiting for ever where they are 0."""
        d = self.rates(units)
        tau = np.where(d != 0, np.abs(d) * self.dt / self.damped, NEVER)
        sign = np.where(d < 0, -1.0, 1.0)
        columns = zip(tau.tolist(), (sign / largest).tolist(), sign.tolist())
        return [{"tau": t, "g_ex": e, "g_in": i, "theta_ex": largest} for t, e, i in columns]

    def product(self, a, b):
        """Units that fire a * b."""
        scale = functools.cache(lambda: HEADROOM * (np.abs(self.rates(b)).max() or 1.0))
        reciprocal = self.create(
            "lin_rate_ipn",
            len(b),
            lambda: {"tau": self.tau, "g_ex": 1 / scale()},
            left=1 - self.part + 1 / HEADROOM,
            **{"mu": 1.0, "mult_coupling": True, "theta_ex": 0.0},
        )
        self.wire(b, reciprocal, 1.0)
        shifted = self.quotient(a, reciprocal)
        product = self.create("lin_rate_ipn", len(a), lambda: self.scaled(b, scale()))
        self.wire(shifted, product, 1.0)
        self.wire(a, product, -1.0)
        return product

    def scaled(self, b, scale):
        """Parameters of products with units b: the scale, and 0 where b is 0, which leaves no rounding."""
        gains = np.where(self.rates(b) != 0, scale, 0.0)
        return [{"tau": self.tau, "g": gain} for gain in gains.tolist()]

    def wire(self, pre, post, weight):
        """Synapses from each unit of a stage to the one of another at the same place, in blocks."""
        self.heard[self.stage_of(post[0])].add(self.stage_of(pre[0]))
        weight = np.broadcast_to(np.asarray(weight, float), pre.shape)
        for start in range(0, len(pre), BLOCK):
            block = slice(start, start + BLOCK)
            synapses = {
                "synapse_model": "rate_connection_delayed",
                "weight": np.array(weight[block]),
                "delay": np.full(len(pre[block]), self.dt),
            }
            nest.Connect(pre[block], post[block], "one_to_one", synapses)

    # ---- stages

    def run(self):
        """Run until the units let go since the last run lack no more than `tolerance` of their way; hold them."""
        steps = {}
        for stage, left in self.left.items():  # each comes to rest after those that it hears
            own = np.log(self.tolerance) / np.log(max(left, 1e-9)) + 1
            steps[stage] = own + max(
                (steps.get(heard, 0) for heard in self.heard[stage]), default=0
            )
        nest.Simulate(np.ceil(2 + max(steps.values(), default=0)) * self.dt)
        held = [unit for stage in self.left for unit in self.stages[stage][0].tolist()]
        nest.NodeCollection(held).set({"tau": NEVER})
        self.left = {}

    def rates(self, units):
        """What units fire at rest."""
        if not units.size:
            return np.zeros(0)
        if self.stage_of(units[0]) in self.left:
            self.run()
        numbers, places = np.unique(units, return_inverse=True)
        found = np.array(nest.NodeCollection(numbers.tolist()).get("rate")).reshape(-1)
        if not np.isfinite(found).all():
            raise FloatingPointError("a rate is NaN or infinite")
        return found[places]


class Recorder:
    """Records the rates of chosen cells each so many ms, from the first interval on."""

    def __init__(self, network, interval, rates, spikes):
        self.interval, self.rates = interval, rates
        self.somas = {name: network.somas[numbers] for name, (_, numbers) in rates.items()}
        self.units = np.unique(np.concatenate([*self.somas.values()]))
        self.meter = nest.Create("multimeter", {"record_from": ["rate"], "interval": interval})
        if self.units.size:
            units = nest.NodeCollection(self.units.tolist())
            nest.Connect(self.meter, units, "all_to_all", {"delay": network.dt})

    def arrays(self):
        """What was recorded, by name."""
        events = self.meter.events
        times, samples = np.unique(events["times"], return_inverse=True)
        values = np.zeros((len(times), len(self.units)))
        values[samples, np.searchsorted(self.units, events["senders"])] = events["rate"]
        rates = {n: values[:, np.searchsorted(self.units, s)] for n, s in self.somas.items()}
        return recorded_rates(times, self.interval, rates, self.rates)
