"""The emitted network against networks written by hand, from the paper's equations: same trajectories.

Nothing here comes from the emitter: groups, loops over cells, and time constants are typed in.
"""

import brian2 as b2
import numpy as np
import pytest

from cortico.lowering import lower
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit
from cortico.spec.weights import random_weights
from tests.backends.brian2.simulation import simulate

N, D, H, K = 3, 4, 2, 2  # tokens, model width, heads, features of a head
DT = 0.5


@pytest.fixture
def numbers():
    spec = AttentionSpec(model=D, heads=H)
    x = np.random.default_rng(3).standard_normal((N, D))
    return random_weights(spec, 3), x


def group(size, equations, tau):
    cells = b2.NeuronGroup(
        size, equations, method="exponential_euler", namespace={"tau": tau * b2.ms}
    )
    return cells, b2.StateMonitor(cells, "r", record=True)


def wire(pre, post, variable, triples):
    """One synapse after another: (pre, post, weight)."""
    synapses = b2.Synapses(
        pre, post, f"w : 1\n{variable}_post = w*r_pre : 1 (summed)", namespace={}
    )
    i, j, w = zip(*triples, strict=True)
    synapses.connect(i=list(i), j=list(j))
    synapses.w = list(w)
    return synapses


def columns():
    """Head, query token, source token: the microcolumns, and the number of each."""
    return [(h, i, j, (h * N + i) * N + j) for h in range(H) for i in range(N) for j in range(N)]


def network_by_hand(weights, x, kernel, steps):
    """Core cells [j, m], matrix cells [i, m], superficial [h, i, j, a], deep [h, i, j, c], relay [i, m]."""
    b2.prefs.codegen.target = "numpy"
    b2.defaultclock.dt = DT * b2.ms
    w_q, w_k, w_v, w_o = (weights[name] for name in ("W_Q", "W_K", "W_V", "W_O"))
    core, core_rates = group(N * D, "dr/dt = (x - r)/tau : 1\nx : 1", 20)
    matrix, matrix_rates = group(N * D, "dr/dt = (x - r)/tau : 1\nx : 1", 20)
    core.x = matrix.x = x.ravel()
    superficial, superficial_rates = group(
        H * N * N * K, "dr/dt = (key*query - r)/tau : 1\nkey : 1\nquery : 1", 12
    )
    objects = [core, core_rates, matrix, matrix_rates, superficial, superficial_rates]
    features = [(h, i, j, a, s * K + a) for h, i, j, s in columns() for a in range(K)]
    key = [(j * D + m, s, w_k[h, a, m]) for h, i, j, a, s in features for m in range(D)]
    query = [(i * D + m, s, w_q[h, a, m]) for h, i, j, a, s in features for m in range(D)]
    objects += [wire(core, superficial, "key", key), wire(matrix, superficial, "query", query)]
    rates = {"superficial": superficial_rates}

    if kernel is Kernel.LINEAR:
        deep, deep_rates = group(
            H * N * N * K, "dr/dt = (mask*value - r)/tau : 1\nmask : 1\nvalue : 1", 12
        )
        mask = [
            (s * K + a, s * K + c, 1.0) for *_, s in columns() for a in range(K) for c in range(K)
        ]
        objects.append(wire(superficial, deep, "mask", mask))
    else:
        deep, deep_rates = group(
            H * N * N * K,
            "dr/dt = (share - r)/tau : 1\nmask : 1\nvalue : 1\npool : 1\n"
            "share = int(pool > 0)*mask*value/clip(pool, 1e-300, inf) : 1",
            12,
        )
        cells, cell_rates = group(H * N * N, "dr/dt = (exp(score) - r)/tau : 1\nscore : 1", 12)
        pool, pool_rates = group(H * N, "dr/dt = (heard - r)/tau : 1\nheard : 1", 10)
        score = [(s * K + a, s, K**-0.5) for *_, s in columns() for a in range(K)]
        objects += [cells, cell_rates, pool, pool_rates, wire(superficial, cells, "score", score)]
        objects.append(
            wire(cells, pool, "heard", [(s, h * N + i, 1.0) for h, i, j, s in columns()])
        )
        objects.append(
            wire(
                cells, deep, "mask", [(s, s * K + c, 1.0) for *_, s in columns() for c in range(K)]
            )
        )
        shunt = [(h * N + i, s * K + c, 1.0) for h, i, j, s in columns() for c in range(K)]
        objects.append(wire(pool, deep, "pool", shunt))
        rates |= {"mask": cell_rates, "pool": pool_rates}

    value = [
        (j * D + m, s * K + c, w_v[h, c, m])
        for h, i, j, s in columns()
        for c in range(K)
        for m in range(D)
    ]
    relay, relay_rates = group(N * D, "dr/dt = (heard - r)/tau : 1\nheard : 1", 20)
    output = [
        (s * K + c, i * D + m, w_o[h, m, c])
        for h, i, j, s in columns()
        for c in range(K)
        for m in range(D)
    ]
    objects += [deep, deep_rates, relay, relay_rates]
    objects += [wire(core, deep, "value", value), wire(deep, relay, "heard", output)]
    network = b2.Network(objects)
    network.run(steps * DT * b2.ms, namespace={})
    rates |= {"deep": deep_rates, "relay": relay_rates}
    return {name: np.asarray(monitor.r).T for name, monitor in rates.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [Kernel.LINEAR, Kernel.SOFTMAX])
def test_same_trajectories(numbers, kernel):
    """400 steps of every population: at most rounding apart, through the whole transient."""
    weights, x = numbers
    spec = AttentionSpec(model=D, heads=H, kernel=kernel)
    if kernel is Kernel.LINEAR:  # by hand the lateral weights are ones
        spec = AttentionSpec(model=D, heads=H, kernel=kernel, scale=1.0)
    steps = 400
    expected = network_by_hand(weights, x, kernel, steps)
    _, found = simulate(
        lower(spec, weights), {"x": x}, dt=DT, duration=steps * DT, monitor=list(expected)
    )
    assert found["t_ms"].tolist() == [k * DT for k in range(steps)]
    for name, course in expected.items():
        ours = found[name].reshape(steps, -1)
        assert np.abs(course).max() > 0.1, name
        assert np.abs(ours - course).max() < 1e-12 * np.abs(course).max(), name
        assert np.abs(course[50] - course[-1]).max() > 1e-3, (
            name
        )  # it moves: a transient is compared


@pytest.mark.slow
def test_streamed_tokens_give_causal_attention_at_every_step():
    """64 tokens, one after another, into the memory circuit: y_i = W_O Σ_(j<=i) v_j (k_j·q_i)."""
    spec = AttentionSpec(
        model=4,
        heads=2,
        kernel=Kernel.LINEAR,
        microcircuit=Microcircuit.MEMORY,
        mask=Mask.CAUSAL,
        scale=1.0,
    )
    weights, x = random_weights(spec, 5), np.random.default_rng(5).standard_normal((64, 4))
    outputs, _ = simulate(lower(spec, weights), {"x": x}, method="euler", dt=10.0, tau=10.0)
    expected = np.zeros((64, 4))
    for h in range(2):
        q, k, v = (x @ weights[name][h].T for name in ("W_Q", "W_K", "W_V"))
        memory = np.zeros((2, 2))
        for i in range(64):
            memory += np.outer(v[i], k[i])
            expected[i] += weights["W_O"][h] @ memory @ q[i]
    assert np.abs(outputs["y"] - expected).max() < 1e-12 * np.abs(expected).max()
