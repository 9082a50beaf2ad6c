"""What stands at the sites inside a module that is kept whole: Python code calls it in place of its own activation.

The activations are submodules of the network, under `safs_activations`; a stand-in only refers to them, so that every
state-dict name of the network stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


class StandIn(nn.Module):
    """Calls the activation of each site of a module that is called once or several times in a forward pass.

    The k-th call in a forward pass of the whole network runs the k-th activation. A pass that calls it more often
    than the example did by which the sites were found runs the last one for the rest; one that calls it less often
    leaves the last ones out. A call that is made again in the backward pass (activation checkpointing) counts as a
    further call: leave checkpointing off where a module within has several sites.

    Args:
        activations: what to call, in order.
        copied: which of them return a copy, because the code overwrites what they return.
        original: the module that it stands in for, whose parameters it keeps under their names.
    """

    def __init__(
        self, activations: Sequence[nn.Module], copied: Sequence[bool], original: nn.Module | None = None
    ) -> None:
        super().__init__()
        for name, parameter in original.named_parameters() if original is not None else ():
            self.register_parameter(name, parameter)
        self._activations = tuple(activations)  # a tuple registers nothing
        self._copied = tuple(copied)
        self._original = (original,)
        self.call = 0

    @property
    def original(self) -> nn.Module | None:
        """The module that it stands in for."""
        return self._original[0]

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """Return what the next activation makes of its one input, whatever the code calls it."""
        (x,) = (*inputs, *named.values())
        index = min(self.call, len(self._activations) - 1)
        if len(self._activations) > 1:
            self.call += 1
        y: Tensor = self._activations[index](x)
        return y.clone() if self._copied[index] else y


class Start(nn.Module):
    """Begins to count the calls of stand-ins anew; called first in every forward pass of the network."""

    _is_impure = True
    """Tells torch.fx that the call must stay although nothing uses its result."""

    def __init__(self) -> None:
        super().__init__()
        self._stand_ins: list[StandIn] = []  # a list registers nothing

    def add(self, stand_in: StandIn) -> None:
        """Let it begin to count anew too."""
        self._stand_ins.append(stand_in)

    def forward(self) -> None:
        """Begin anew."""
        for stand_in in self._stand_ins:
            stand_in.call = 0

    def before(self, network: nn.Module, arguments: Any) -> None:
        """Begin anew, as the hook before a forward pass of a network that is no graph."""
        self.forward()
