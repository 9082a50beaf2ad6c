"""What becomes of the factors α, β of one site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.fx import Node

from safs.folding.calls import HOMOGENEOUS, Calls
from safs.folding.factors import NotExactError, as_factor, check_range
from safs.folding.layers import Edit, Side
from safs.folding.sweeps import into_makers, into_readers
from spaces.activation import Activation

FactorName = Literal["alpha", "beta"]
Refusals = Mapping[tuple[int, Side], str]
"""Why a tensor (by its id) cannot take a factor from the input, or output, of its layer."""


@dataclass(frozen=True)
class Plan:
    """What becomes of the factors of one site.

    Attributes:
        alpha, beta: the factors that stay, or None.
        reasons: why they stay.
        edits: what the others make of the layers around the site.
    """

    alpha: Tensor | None
    beta: Tensor | None
    reasons: Mapping[FactorName, str] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()


def stay(site: Activation, reason: str) -> Plan:
    """Return the plan by which a site keeps its factors, for a reason."""
    factors: dict[FactorName, Tensor | None] = {"alpha": site.alpha, "beta": site.beta}
    return Plan(site.alpha, site.beta, {name: reason for name, value in factors.items() if value is not None})


def plan_site(calls: Calls, node: Node, site: Activation, refusals: Refusals) -> Plan:
    """Return what can be done about the factors of a site, each on its own or, by homogeneity, both together.

    Args:
        calls: the network's calls.
        node: the one that calls the site.
        site: its module.
        refusals: tensors that must not be changed, with the reasons.
    """
    if site.operator.name == "identity" and calls.is_overwritten_after(node):
        return stay(site, "without it the input would be the output, which is overwritten")
    ndim = len(calls.shape(node))
    alpha, beta = (
        None if value is None or bool((value == 1).all()) else as_factor(value, ndim, site.channel_dim)
        for value in (site.alpha, site.beta)
    )
    return _Planner(calls, node, site.operator.name, alpha, beta, refusals).plan()


@dataclass(frozen=True)
class _Attempt:
    """What came of trying to fold a factor: edits of layers, or the reason why not."""

    edits: tuple[Edit, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class _Planner:
    calls: Calls
    node: Node
    operator: str
    alpha: Tensor | None
    beta: Tensor | None
    refusals: Refusals

    def plan(self) -> Plan:
        """Return the plan that leaves the fewest factors."""
        forward, back = self._forward(self.alpha), self._back(self.beta)
        if self.operator in HOMOGENEOUS and (forward.reason or back.reason):
            together = self._together(forward, back)
            if together is not None:
                return together
        reasons: dict[FactorName, str] = {}
        if forward.reason:
            reasons["alpha"] = forward.reason
        if back.reason:
            reasons["beta"] = back.reason
        return Plan(
            self.alpha if forward.reason else None,
            self.beta if back.reason else None,
            reasons,
            forward.edits + back.edits,
        )

    def _together(self, forward: _Attempt, back: _Attempt) -> Plan | None:
        """Return the plan that has one factor α·β on one side, or None if there is none that leaves fewer.

        α·f(β·x) is αβ·f(x) for a positive β, and f(αβ·x) for a positive α.
        """
        both = 1.0 * (1.0 if self.alpha is None else self.alpha) * (1.0 if self.beta is None else self.beta)
        assert isinstance(both, Tensor), "a site without factors has nothing to fold"
        after, before = self._may_move(self.beta), self._may_move(self.alpha)
        if after and (attempt := self._forward(both)).reason is None:
            return Plan(None, None, edits=attempt.edits)
        if before and (attempt := self._back(both)).reason is None:
            return Plan(None, None, edits=attempt.edits)
        if not (forward.reason and back.reason and (after or before)):
            return None
        try:
            check_range(both, self._dtype)
        except NotExactError:
            return None
        return Plan(both, None, {"alpha": forward.reason}) if after else Plan(None, both, {"beta": back.reason})

    def _may_move(self, factor: Tensor | None) -> bool:
        """Return whether a factor on one side of the operator does the same on the other."""
        return factor is None or self.operator == "identity" or bool((factor > 0).all())

    def _forward(self, factor: Tensor | None) -> _Attempt:
        return self._attempt(into_readers, self.node, factor)

    def _back(self, factor: Tensor | None) -> _Attempt:
        source = self.node.args[0]
        assert isinstance(source, Node), "an activation is called with a tensor"
        return self._attempt(into_makers, source, factor)

    def _attempt(
        self, into: Callable[[Calls, Node, Tensor], list[Edit]], node: Node, factor: Tensor | None
    ) -> _Attempt:
        if factor is None:
            return _Attempt()
        try:
            check_range(factor, self._dtype)
            edits = into(self.calls, node, factor)
            for edit in edits:
                if (id(edit.tensor), edit.side) in self.refusals:
                    raise NotExactError(self.refusals[id(edit.tensor), edit.side])
        except NotExactError as refusal:
            return _Attempt(reason=str(refusal))
        return _Attempt(tuple(edits))

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.calls.network.parameters()).dtype
