"""TAdam: Adam whose first moment is a Student-t estimate, robust to outlying gradients (Ilboudo et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from spaces.errors import SafsError


class TAdam(Optimizer):
    """Adam with the first moment weighted by how plausible each gradient is under a Student-t distribution.

    "TAdam: A Robust Stochastic Gradient Optimizer" (arXiv:2003.00179). With m₀ = v₀ = 0 and W₀ = β₁/(1 − β₁), for
    each parameter tensor of dimension d and with ν = k_dof·d degrees of freedom:

        w_t = (ν + d) / (ν + Σ_j (g_j − m_j)² / (v_j + ε))        moments of step t − 1
        m_t = (W_{t−1}·m_{t−1} + w_t·g_t) / (W_{t−1} + w_t)
        W_t = (2β₁ − 1)/β₁ · W_{t−1} + w_t
        v_t = β₂·v_{t−1} + (1 − β₂)·g_t²

    then Adam's bias corrections and step. As k_dof → ∞ it becomes Adam. Because v₀ = 0, the first gradients all look
    like outliers: the method warms itself up, and moves little in its first tens of steps.

    d counts the coordinates that have ever had a gradient. Without a mask this is the paper's d. Under a mask the
    zeros are no evidence: counting them would hold w near (ν + d)/ν at 99 % sparsity, which is Adam.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate.
        betas: Decay rates; 0.5 <= β₁ < 1, as W_t decays by (2β₁ − 1)/β₁.
        eps: Added to the second moment, and to its root in the step.
        weight_decay: L2 penalty, added to the gradient as in Adam.
        k_dof: Degrees of freedom per dimension.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        k_dof: float = 1.0,
    ) -> None:
        if not (0.5 <= betas[0] < 1 and 0 <= betas[1] < 1):
            raise SafsError(f"TAdam needs 0.5 <= beta1 < 1 and 0 <= beta2 < 1, but got {betas}.")
        if not (eps > 0 and k_dof > 0):
            raise SafsError(f"TAdam needs eps > 0 and k_dof > 0, but got {eps} and {k_dof}.")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "k_dof": k_dof})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step from the parameters' gradients; nothing is read back from the device."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                _update(params, [self._advance(p, group["betas"][0]) for p in params], group)
        return loss

    def _advance(self, param: Tensor, beta1: float) -> dict[str, Any]:
        state: dict[str, Any] = self.state[param]
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(param)
            state["square"] = torch.zeros_like(param)
            state["weight"] = param.new_tensor(beta1 / (1 - beta1))
        state["step"] += 1
        return state


def _update(params: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]) -> None:
    (beta1, beta2), lr, eps = group["betas"], group["lr"], group["eps"]
    means = [state["mean"] for state in states]
    squares = [state["square"] for state in states]
    grads: Any = [p.grad for p in params]
    if group["weight_decay"]:
        grads = torch._foreach_add(grads, params, alpha=group["weight_decay"])

    distances = _squared_distances(grads, means, squares, eps)
    torch._foreach_mul_(squares, beta2)
    torch._foreach_addcmul_(squares, grads, grads, value=1 - beta2)
    _move_means(means, grads, states, _plausibility(distances, squares, group["k_dof"]), beta1)

    roots = torch._foreach_sqrt(squares)
    torch._foreach_div_(roots, [math.sqrt(1 - beta2 ** state["step"]) for state in states])
    torch._foreach_add_(roots, eps)
    torch._foreach_addcdiv_(params, means, roots, [-lr / (1 - beta1 ** state["step"]) for state in states])


def _squared_distances(grads: list[Tensor], means: list[Tensor], squares: list[Tensor], eps: float) -> Tensor:
    """Return Σ_j (g_j − m_j)² / (v_j + ε) of each tensor."""
    deviations = torch._foreach_sub(grads, means)
    scales = torch._foreach_add(squares, eps)
    torch._foreach_sqrt_(scales)
    torch._foreach_div_(deviations, scales)
    return torch.stack(torch._foreach_norm(deviations)).square()


def _plausibility(distances: Tensor, squares: list[Tensor], k_dof: float) -> Tensor:
    """Return w_t of each tensor; `squares` (v_t) tell which coordinates have ever had a gradient."""
    dimensions = torch.stack(torch._foreach_norm(torch._foreach_sign(squares), 1)).clamp(min=1)
    return (k_dof + 1) * dimensions / (k_dof * dimensions + distances)


def _move_means(
    means: list[Tensor], grads: list[Tensor], states: list[dict[str, Any]], weights: Tensor, beta1: float
) -> None:
    """Move each mean towards its gradient by w/(W + w), then fold w into the decayed sum W."""
    totals = [state["weight"] for state in states]
    before = torch.stack(totals)
    torch._foreach_lerp_(means, grads, list((weights / (before + weights)).unbind()))
    torch._foreach_copy_(totals, list((before * ((2 * beta1 - 1) / beta1) + weights).unbind()))
