"""The pruning methods by name, and `prune`, which runs one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from safs.data.dataset import Data
from safs.masks import Mask, prunable_weights
from safs.pruning.erk import ErdosRenyiKernel
from safs.pruning.imp import IterativeMagnitude
from safs.pruning.magnitude import Magnitude
from safs.pruning.method import Given, PruningMethod, Trainer
from safs.pruning.random import Random
from safs.pruning.selection import SCOPES, removed_count
from safs.pruning.snip import Snip
from safs.pruning.synflow import SynFlow
from spaces.errors import SafsError, lookup, nearest_name

METHODS: dict[str, type[PruningMethod]] = {
    "magnitude": Magnitude,
    "random": Random,
    "erk": ErdosRenyiKernel,
    "snip": Snip,
    "synflow": SynFlow,
    "imp": IterativeMagnitude,
}

_WANTED = {
    "data": "training data (`data`; safs prune: --data)",
    "input_shape": "the shape of one example (`input_shape`; safs prune: --input)",
    "train": "a training (`train`; safs prune: --data and --epochs)",
}


def prune(
    model: nn.Module,
    ratio: float,
    *,
    method: str = "magnitude",
    scope: str | None = None,
    options: Mapping[str, Any] = {},
    seed: int = 0,
    data: Data | None = None,
    input_shape: tuple[int, ...] | None = None,
    train: Trainer | None = None,
) -> Mask:
    """Return a mask that removes `ratio` of a network's prunable weights.

    Of n weights exactly floor(ratio·n) are removed: in every layer with the scope "layer", else over all layers
    together. The network is not changed, but for "imp", which leaves it at the weights that it rewinds to.

    Args:
        model: the dense network.
        ratio: the share of weights to remove, in [0, 1).
        method: a key of `METHODS`.
        scope: "layer" or "global", or None for the method's own; only magnitude and random can be given one.
        options: the method's own, as `make_method` takes them.
        seed: the only source of randomness; magnitude and synflow have none.
        data: training examples, for snip.
        input_shape: the shape of one example, for synflow.
        train: trains the network, for imp.

    Raises:
        SafsError: if the ratio is outside [0, 1), the network has nothing to prune, or the method cannot take what
            it was given, lacks what it needs or finds scores that are not finite.
        UnknownNameError: if there is no such method or scope.
    """
    if not 0 <= ratio < 1:
        raise SafsError(f"The pruning ratio must lie in [0, 1), but got {ratio}.")
    chosen = make_method(method, options)
    scope = resolve_scope(method, scope)
    given = Given(seed=seed, data=data, input_shape=input_shape, train=train)
    for need in chosen.needs:
        if getattr(given, need) is None:
            raise SafsError(f"Pruning method {method!r} needs {_WANTED[need]}.")
    weights = prunable_weights(model)
    if not weights:
        raise SafsError(f"{type(model).__name__} has no linear or convolution layer, so there is nothing to prune.")
    if removed_count(ratio, sum(weight.numel() for weight in weights.values())) == 0:
        return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
    mask = chosen.mask(model, ratio, scope, given)
    return {name: kept.to(weights[name].device) for name, kept in mask.items()}


def option_names(method: str) -> list[str]:
    """Return the options that a pruning method takes.

    Raises:
        UnknownNameError: if there is no such method.
    """
    kind: Any = lookup("pruning method", method, METHODS)
    return [field.name for field in dataclasses.fields(kind)]


def make_method(name: str, options: Mapping[str, Any] = {}) -> PruningMethod:
    """Return a pruning method with its options.

    Raises:
        UnknownNameError: if there is no such method.
        SafsError: if it has no such option, or an option's value is not valid.
    """
    known = option_names(name)
    unknown = [option for option in options if option not in known]
    if unknown:
        nearest = nearest_name(unknown[0], known)
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        raise SafsError(
            f"Pruning method {name!r} has no option {unknown[0]!r}; known: {', '.join(known) or 'none'}.{hint}"
        )
    return METHODS[name](**options)


def resolve_scope(method: str, scope: str | None) -> str | None:
    """Return the scope that a method works on: the one asked for, else its usual one, or None if it has none.

    Raises:
        UnknownNameError: if there is no such method or scope.
        SafsError: if the method cannot be given a scope.
    """
    scopes = lookup("pruning method", method, METHODS).scopes
    if scope is None:
        return scopes[0] if scopes else None
    lookup("pruning scope", scope, SCOPES)
    if not scopes:
        takers = " and ".join(name for name, kind in METHODS.items() if kind.scopes)
        raise SafsError(
            f"Pruning method {method!r} decides itself how much of each layer goes, so it cannot be given the scope "
            f"{scope!r}; leave the scope out (only {takers} have one)."
        )
    return scope
