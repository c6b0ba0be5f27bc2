"""Cells that spike: leaky integrate-and-fire somas in place of rate units.

How a soma computes, and where that is from:

* A cell's dendrites multiply and divide as those of a rate unit do: the apical current scales the slope
  of the soma's response (Larkum et al. 2004, Cereb Cortex, doi 10.1093/cercor/bhh065), shunting divides.
  That the product is exact is an assumption of the model; in tissue it saturates.
* The soma gets the current at which a leaky integrate-and-fire cell fires at the wanted rate: the
  inverse of its f-I curve, 1/f = refractory + tau log(I / (I - 1)). The curve is calibrated, not fitted.
* Somas fire between a resting and a peak rate, so that they also follow what goes down; what the
  resting rate adds is taken away again by tonic inhibition. Zero is in the middle where rates take
  both signs. Below about 1/(30 tau) a noiseless cell cannot hold a rate at all.
"""

import numpy as np
from brian2 import (
    Hz,
    NeuronGroup,
    StateMonitor,
    Synapses,
    defaultclock,
    linked_var,
    ms,
    second,
)

REFRACTORY = 2 * ms  # placeholder, no source
RESTING = 0.2  # of the peak rate; placeholder, no source
SPREAD = (
    0.3  # somas of a cell fire up to so much slower or faster: alike, they would fall into step
)
HEADROOM = 1.25  # the peak rate stands for so much more than the settled rate of a cell
FLOOR = 0.05  # of the largest settled rate in the population: no cell's range is smaller


def spike(network, groups, populations, neurons, peak, synapse, duration, seed):
    """Let somas fire for `duration` ms; rates by population, averaged over the second half.

    They start at the settled rates, each somewhere in its cycle.
    """
    random = np.random.default_rng(seed)
    for group in groups:
        network.add(*lif(group, populations, neurons, peak * Hz, synapse * ms, random))
    # <spikes>
    first = network.t
    means = {id(g): StateMonitor(g, "r", record=True, dt=1 * ms) for g in groups}
    network.add(*means.values())
    network.run(duration * ms, report="stderr", report_period=10 * second, namespace={})
    rates = {}
    for name, (group, cells) in populations.items():
        monitor = means[id(group)]
        late = monitor.t >= first + duration / 2 * ms
        rates[name] = np.append(np.asarray(monitor.r)[:, late].mean(axis=1), 0.0)[cells]
    return rates


def code_range(group, populations):
    """For each cell of a group the lowest and the highest rate that its somas stand for."""
    low, high = np.zeros(group.N), np.ones(group.N)
    for owner, cells in populations.values():
        own = cells[cells >= 0]
        if owner is group and own.size:
            rates = np.asarray(group.r)[own]
            largest = np.abs(rates).max() or 1.0
            high[own] = HEADROOM * np.maximum(np.abs(rates), FLOOR * largest)
            low[own] = -high[own] if rates.min() < 0 else 0.0
    return low, high


def lif(group, populations, neurons, peak, synapse, random):
    """`neurons` integrate-and-fire somas for each cell of a group, and what their spikes do to its r."""
    cell = np.repeat(np.arange(group.N), neurons)
    lowest, highest = code_range(group, populations)
    somas = NeuronGroup(
        len(cell),
        """
        dv/dt = (current - v) / tau_m : 1 (unless refractory)
        current = 1 / (1 - exp(-cycle / tau_m)) : 1
        cycle = 1/rate - refractory_time + dt : second  # Brian2 frees a cell one step early
        rate = peak*gain*(resting + (1 - resting)*clip((target - low)/(high - low), 0, 1)) : Hz
        gain : 1 (constant)
        target : 1 (linked)
        tau_m : second (constant)
        low : 1 (constant)
        high : 1 (constant)
        phase : 1 (constant)
        kick : 1 (constant)
        """,
        threshold="v > 1",
        reset="v = (v - 1)*current/(current - 1)",  # the rest of the step counts for the next cycle
        refractory=REFRACTORY,
        method="exponential_euler",
        name=f"{group.name}_somas",
        namespace={"peak": peak, "resting": RESTING, "refractory_time": REFRACTORY},
    )
    somas.target = linked_var(group, "target", index=cell)
    somas.tau_m = np.asarray(group.tau)[cell] * second
    somas.low, somas.high = lowest[cell], highest[cell]
    gains = random.uniform(1 - SPREAD, 1 + SPREAD, (group.N, neurons))
    gains /= gains.mean(axis=1, keepdims=True)  # together they code without bias
    somas.gain = gains.ravel()
    somas.phase = random.uniform(0, 1, len(cell))
    somas.v = "current*(1 - exp(-phase*cycle / tau_m))"
    unit = (highest - lowest) / (1 - RESTING)  # the change of r from no spikes to the peak rate
    # of r in a step, in which peak*dt somas fire
    decay = 1 - np.exp(-float(defaultclock.dt / synapse))
    somas.kick = (unit * decay / (neurons * float(peak * defaultclock.dt)))[cell]
    group.calibrating, group.tau = 0, synapse
    group.resting = unit * RESTING - lowest
    spikes = Synapses(
        somas, group, on_pre="r_post += kick_pre", name=f"{group.name}_spikes", namespace={}
    )
    spikes.connect(i=np.arange(len(cell)), j=cell)
    return somas, spikes
