"""The table of optimisers and what each one takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch.nn import Parameter
from torch.optim import SGD, Adam, Optimizer

from safs.optim.fromage import Fromage
from safs.optim.tadam import TAdam
from spaces.errors import SafsError, lookup


@dataclass(frozen=True)
class Entry:
    """How to build an optimiser, and the hyperparameters it takes besides its learning rate."""

    factory: Callable[..., Optimizer]
    hyperparameters: frozenset[str]


OPTIMIZERS: dict[str, Entry] = {
    "sgd": Entry(partial(SGD, fused=True), frozenset({"momentum", "weight_decay"})),
    "adam": Entry(partial(Adam, fused=True), frozenset({"weight_decay"})),
    "fromage": Entry(Fromage, frozenset()),
    "tadam": Entry(TAdam, frozenset({"weight_decay"})),
}


def make_optimizer(
    name: str,
    weights: list[Parameter],
    scales: list[Parameter],
    *,
    lr: float,
    scale_lr: float | None = None,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Return the optimiser `name` over the network's weights and the activations' scales.

    Args:
        name: A key of `OPTIMIZERS`.
        weights: The network's own parameters; they alone get weight decay.
        scales: α, β and operator constants, as a second parameter group; none when empty.
        lr: Learning rate of the weights.
        scale_lr: Learning rate of the scales; None means `lr`.
        momentum: In [0, 1); for sgd only.
        weight_decay: L2 penalty on the weights; for every optimiser but fromage.

    Raises:
        SafsError: if the name is unknown, a value is out of range, or it is meant for another optimiser.
    """
    entry = lookup("optimizer", name, OPTIMIZERS)
    if not weights:
        raise SafsError(f"Optimizer {name!r} was given no weights to train.")
    scale_lr = lr if scale_lr is None else scale_lr
    _check_rate("lr", lr)
    _check_rate("scale_lr", scale_lr)
    if not 0 <= momentum < 1:
        raise SafsError(f"momentum must lie in [0, 1), but got {momentum}.")
    if not (math.isfinite(weight_decay) and weight_decay >= 0):
        raise SafsError(f"weight_decay must be finite and not negative, but got {weight_decay}.")
    settings = _settings(name, entry, {"momentum": momentum, "weight_decay": weight_decay})
    groups: list[dict[str, object]] = [{"name": "weights", "params": weights, "lr": lr, **settings}]
    if scales:
        undecayed = {**settings, "weight_decay": 0.0} if "weight_decay" in settings else settings
        groups.append({"name": "scales", "params": scales, "lr": scale_lr, **undecayed})
    return entry.factory(groups)


def _check_rate(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise SafsError(f"{name} must be finite and above 0, but got {value}.")


def _settings(name: str, entry: Entry, given: dict[str, float]) -> dict[str, float]:
    """Return the given values that the optimiser takes; refuse those it would silently ignore."""
    for key, value in given.items():
        if value and key not in entry.hyperparameters:
            raise SafsError(f"Optimizer {name!r} has no {key}, but {key}={value} was given; leave it out.")
    return {key: value for key, value in given.items() if key in entry.hyperparameters}
