"""Training of an attention block by the plasticity rules of its circuit: SGD with momentum.

Everything is computed by the emitted `train.py`, so that what is trained here and what a user runs
from that file are the same.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np

from cortico.frontends.spec_file import spec_to_json
from cortico.ir import Circuit, SpecError
from cortico.ir.errors import CorticoError, bullet_list
from cortico.ir.fields import settle
from cortico.ir.limits import SIZE
from cortico.ir.options import BELOW_ONE, LEAST, MOST, Help, number, whole
from cortico.learning.data import Arrays, check_examples, digest
from cortico.learning.emission import (
    constants,
    load_training_source,
    trained_parameters,
    training_circuit,
    training_source,
)
from cortico.learning.layout import parameter_arrays, spec_weights
from cortico.lowering import circuit_weights
from cortico.spec import AttentionSpec
from cortico.spec.weights import Weights, check_weights


class DivergenceError(CorticoError):
    """The loss, or a weight, is no finite number any more."""


_FROM_1 = whole(1, SIZE, "an integer from 1 on")


@dataclass(frozen=True)
class Settings:
    """How to train. SpecError, listing every problem, for values that make no sense."""

    epochs: Annotated[int, _FROM_1, Help("how often to see every sample")] = 10
    #: The last batch of an epoch may be smaller.
    batch_size: Annotated[int, _FROM_1, Help("samples a step")] = 32
    learning_rate: Annotated[float, number(LEAST, MOST, "a positive number"), Help("of a step")] = (
        0.01
    )
    #: As in PyTorch: v = momentum · v + gradient.
    momentum: Annotated[
        float, number(0, BELOW_ONE, "from 0 to below 1"), Help("of the velocity")
    ] = 0.0
    #: Every epoch draws an order anew.
    seed: Annotated[
        int, whole(0, SIZE, "an integer from 0 on"), Help("of the order of samples")
    ] = 0
    reduction: Annotated[
        Literal["sum", "mean"], Help("mean or sum of ½ Σ (y - target)² over a batch's tokens")
    ] = "mean"
    validation: Annotated[
        float,
        number(0, BELOW_ONE, "a share from 0 to below 1"),
        Help("share of the samples to hold out"),
    ] = 0.0
    trained: tuple[str, ...] | None = None  #: tensors of the spec; None for all with a gradient

    def __post_init__(self) -> None:
        problems = [f"{name.replace('_', ' ')} {what}" for name, what in settle(self)]
        if self.trained == ():
            problems.append("trained must name a tensor")
        if problems:
            raise SpecError(f"settings of the training are wrong:{bullet_list(problems)}")


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave. Losses are over all its samples, summed or per token as reduced.

    `loss` is the mean over the course of the epoch, weights changing from batch to batch;
    `validation` is that of the held-out samples after it.
    """

    number: int  #: from 1 on
    loss: float
    validation: float | None = None


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All that training needs to go on after a whole epoch, tensors as the spec has them."""

    weights: Mapping[str, np.ndarray]
    velocity: Mapping[str, np.ndarray]
    random_state: Mapping[str, Any]
    history: tuple[Epoch, ...] = ()

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.history)


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """The trained weights, as tensors of the spec, and the loss of each epoch."""

    weights: Mapping[str, np.ndarray]
    history: tuple[Epoch, ...]
    snapshot: Snapshot = field(repr=False)


#: Called after each whole epoch, and with (batches done, batches of the epoch) after each batch.
OnEpoch = Callable[[Snapshot], None]
OnBatch = Callable[[int, int], None]


def train(
    spec: AttentionSpec,
    weights: Weights,
    data: Arrays,
    settings: Settings = Settings(),
    *,
    on_epoch: OnEpoch = lambda snapshot: None,
    on_batch: OnBatch = lambda done, all_: None,
    resume: Snapshot | None = None,
) -> TrainingResult:
    """Train `weights` on `data`: x (samples, tokens, model), target (samples, tokens, output), ….

    Computes in float32 when all data are float32, else in float64. With a snapshot of the same
    training it goes on from there, to the very same numbers. SpecError for what does not fit,
    DivergenceError when a number is not finite any more; `on_epoch` saw the state before.
    """
    training = Training(spec, weights, data, settings)
    return training.run(on_epoch, on_batch, resume)


class Training:
    """A training that is set up: everything is checked, and the code emitted."""

    def __init__(
        self, spec: AttentionSpec, weights: Weights, data: Arrays, settings: Settings
    ) -> None:
        check_weights(spec, weights)
        self.spec, self.settings = spec, settings
        self.circuit = training_circuit(spec, settings.trained)
        examples = check_examples(self.circuit, data)
        self.dtype = examples.dtype
        self.initial = {name: np.asarray(a).astype(self.dtype) for name, a in weights.items()}
        self.fixed = _fixed_arrays(spec, weights, self.circuit)
        self.source = training_source(self.circuit)
        self.functions = load_training_source(self.source)
        self.examples, self.held_out = examples.split(settings.validation, settings.seed)
        self._data_digest = examples.digest()

    @property
    def trained(self) -> tuple[str, ...]:
        """The tensors that change."""
        return trained_parameters(self.circuit)

    @cached_property
    def fingerprint(self) -> Mapping[str, str]:
        """What a training that goes on must have in common with its beginning, in words: value."""
        settings = {name.replace("_", " "): repr(v) for name, v in asdict(self.settings).items()}
        del settings["epochs"]  # more may follow
        source = hashlib.sha256(self.source.encode()).hexdigest()
        spec = hashlib.sha256(spec_to_json(self.spec).encode()).hexdigest()
        hashes = {"data": self._data_digest, "first weights": digest(self.initial)}
        return {**hashes, "spec": spec, "code that cortico emits": source, **settings}

    def start(self) -> Snapshot:
        """The state before the first epoch."""
        rng = np.random.default_rng(self.settings.seed)
        return Snapshot(self.initial, {}, rng.bit_generator.state)

    def run(
        self, on_epoch: OnEpoch, on_batch: OnBatch, resume: Snapshot | None = None
    ) -> TrainingResult:
        """All epochs that are left, from the snapshot or from the start."""
        snapshot = resume or self.start()
        if snapshot.epoch > self.settings.epochs:
            raise SpecError(
                f"{snapshot.epoch} epochs are done already, more than the {self.settings.epochs} "
                "asked for"
            )
        while snapshot.epoch < self.settings.epochs:
            snapshot = self.epoch(snapshot, on_batch)
            on_epoch(snapshot)
        return TrainingResult(snapshot.weights, snapshot.history, snapshot)

    def epoch(self, before: Snapshot, on_batch: OnBatch = lambda done, all_: None) -> Snapshot:
        """The state after one more epoch. DivergenceError when a number is not finite."""
        number, size = before.epoch + 1, self.settings.batch_size
        rng = np.random.default_rng()
        rng.bit_generator.state = before.random_state
        order = rng.permutation(len(self.examples))
        weights = parameter_arrays(self.spec, before.weights)
        velocity = parameter_arrays(self.spec, before.velocity)
        count, losses = math.ceil(len(order) / size), []
        with np.errstate(all="ignore"):  # what is not finite is told in words
            for done, batch in enumerate(self.examples.batches(order, size), start=1):
                loss, gradients = self.loss_and_gradients(batch, weights)
                weights, velocity = self._step(weights, gradients, velocity)
                self._require_finite(number, loss, weights)
                losses.append(loss * self._share(len(batch["x"]), len(order)))
                on_batch(done, count)
            validation = self._validation(weights)
        trained = {**before.weights, **spec_weights(self.spec, weights)}
        history = (*before.history, Epoch(number, math.fsum(losses), validation))
        state = rng.bit_generator.state
        return Snapshot(trained, spec_weights(self.spec, velocity), state, history)

    def loss_and_gradients(
        self, batch: Arrays, weights: Arrays
    ) -> tuple[float, dict[str, np.ndarray]]:
        """The emitted function, on arrays in the circuit's layout."""
        arguments = {**batch, "weights": {**self.fixed, **weights}}
        found: tuple[float, dict[str, np.ndarray]] = self.functions["loss_and_gradients"](
            **arguments, reduction=self.settings.reduction
        )
        return found

    def _step(
        self, weights: Arrays, gradients: Arrays, velocity: Arrays
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """One step of the emitted code; arrays come back contiguous, as a checkpoint has them."""
        settings = self.settings
        rate, momentum = float(settings.learning_rate), float(settings.momentum)
        stepped = self.functions["sgd_step"](weights, gradients, rate, momentum, velocity)
        new_weights, new_velocity = (
            {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            for arrays in stepped
        )
        return new_weights, new_velocity

    def _share(self, samples: int, all_samples: int) -> float:
        """What the loss of a batch counts in that of the epoch."""
        return samples / all_samples if self.settings.reduction == "mean" else 1.0

    def _validation(self, weights: Arrays) -> float | None:
        if self.held_out is None:
            return None
        count, size = len(self.held_out), self.settings.batch_size
        batches = self.held_out.batches(np.arange(count), size)
        return math.fsum(
            self.loss_and_gradients(batch, weights)[0] * self._share(len(batch["x"]), count)
            for batch in batches
        )

    def _require_finite(self, number: int, loss: float, weights: Arrays) -> None:
        broken = [name for name in self.trained if not np.isfinite(weights[name]).all()]
        if math.isfinite(loss) and not broken:
            return
        what = f"{', '.join(broken)} became" if math.isfinite(loss) else "the loss is"
        rate = self.settings.learning_rate
        last = f"after epoch {number - 1} all numbers were finite; " if number > 1 else ""
        raise DivergenceError(
            f"training of {self.spec.name!r} diverged in epoch {number}: {what} NaN or infinite; "
            f"{last}try a smaller learning rate than {rate:g}, such as {rate / 10:g}"
        )


def _fixed_arrays(spec: AttentionSpec, weights: Weights, circuit: Circuit) -> dict[str, np.ndarray]:
    """Arrays beside the spec's tensors that the circuit needs, such as frequencies that were given."""
    lowered = circuit_weights(spec, weights)
    return {name: lowered.get(name, array) for name, array in constants(circuit).items()}


def history_json(training: Training, result: TrainingResult) -> str:
    """Settings and the loss of each epoch, as JSON."""
    settings = {**asdict(training.settings), "trained": training.trained}
    epochs = [asdict(epoch) for epoch in result.history]
    return json.dumps({"settings": settings, "epochs": epochs}, indent=2) + "\n"
