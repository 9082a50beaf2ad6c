"""The contract of the pruning methods."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from safs.data.dataset import Data
from safs.masks import Mask
from spaces.errors import SafsError


class Trainer(Protocol):
    """Trains a network for a method that prunes between trainings."""

    @property
    def epochs(self) -> int:
        """The epochs of a whole training."""

    def __call__(self, network: nn.Module, mask: Mask, *, step: str, span: tuple[int, int]) -> Mapping[str, Tensor]:
        """Return the state dict after training a network, which is not changed.

        Args:
            network: where the training starts.
            mask: what is held at zero; empty if nothing is.
            step: what this training is for; no two steps of one pruning have the same name.
            span: from after which epoch of the whole training to after which, such as (0, `epochs`).

        Raises:
            SafsError: if the training fails.
        """


@dataclass(frozen=True)
class Given:
    """What a method may read beside the network; None for what was not given.

    Attributes:
        seed: the only source of randomness.
        data: training examples.
        input_shape: the shape of one example.
        train: trains the network.
    """

    seed: int = 0
    data: Data | None = None
    input_shape: tuple[int, ...] | None = None
    train: Trainer | None = None


class PruningMethod(abc.ABC):
    """Chooses the weights that stay. A method is a frozen dataclass whose fields are its options.

    Attributes:
        scopes: the scopes that it can be given, the usual one first; none if it decides itself what each layer loses.
        needs: which fields of `Given` it cannot do without.
    """

    scopes: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def mask(self, model: nn.Module, ratio: float, scope: str | None, given: Given) -> Mask:
        """Return the mask that removes exactly floor(ratio·n) of n weights over the scope.

        Args:
            model: a network with weights to prune; only a method that trains it changes it.
            ratio: above 0 and below 1.
            scope: one of `scopes`, or None if there are none.
            given: holds at least what the method needs.
        """


def check_count(name: str, value: Any, least: int) -> None:
    """Raise SafsError if an option is no integer, or less than `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise SafsError(f"{name!r} must be an integer of at least {least}, but got {value!r}.")
