"""Fromage: Frobenius-matched gradient descent (Bernstein et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT


class Fromage(Optimizer):
    """W ← (W − lr·(‖W‖/‖G‖)·G) / √(1 + lr²) for each parameter tensor.

    "On the distance between two neural networks and the stability of learning", Algorithm 1. The learning rate is
    the relative change of a tensor per step, whatever the size of its gradient; the denominator undoes the growth
    that steps orthogonal to W would add up to. If ‖W‖ or ‖G‖ is zero the ratio is undefined and taken as 1.

    A tensor of one element is the method's degenerate case: it is multiplied by (1 ∓ lr)/√(1 + lr²). A scalar such
    as α or β therefore keeps its sign and settles only within a factor 1 ± lr of its optimum until the schedule
    lowers lr. A zero bias leaves zero by one plain gradient step.
    """

    def __init__(self, params: ParamsT, lr: float = 0.01) -> None:
        super().__init__(params, {"lr": lr})

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
                _update(params, [p.grad for p in params], group["lr"])
        return loss


def _update(params: list[Tensor], grads: list[Tensor], lr: float) -> None:
    sizes = torch.stack(torch._foreach_norm(params))
    slopes = torch.stack(torch._foreach_norm(grads))
    # A subnormal gradient norm would make the ratio inf, and inf times a masked zero is NaN.
    ratios = (sizes / slopes).clamp(max=torch.finfo(sizes.dtype).max)
    ratios = torch.where((sizes > 0) & (slopes > 0), ratios, 1.0)
    torch._foreach_addcmul_(params, grads, list(ratios.unbind()), value=-lr)
    torch._foreach_div_(params, math.sqrt(1 + lr**2))
