"""The contract of an export format."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from safs.export import Best
from safs.exporting.own_class import OwnClass


@dataclass(frozen=True)
class Source:
    """What is exported.

    Attributes:
        best: the found network, as the study left it.
        network: the same, its factors folded or not; this is what the file holds.
        name, kwargs: what the network is called, and the arguments of its factory.
        own: the user's own class.
    """

    best: Best
    network: nn.Module
    name: str
    kwargs: Mapping[str, Any]
    own: OwnClass


@dataclass(frozen=True)
class ReadBack:
    """What a written file holds.

    Attributes:
        run: maps a batch to the outputs.
        weights: the tensors of the file by their state-dict names.
    """

    run: Callable[[Tensor], Tensor]
    weights: Mapping[str, Tensor]


class Format(abc.ABC):
    """A file format for a trained network.

    Attributes:
        suffix: what the name of such a file must end in, or "" if it may have any name.
    """

    suffix = ""

    def check(self) -> None:
        """Raise SafsError if a package that the format needs is not installed."""
        return

    @abc.abstractmethod
    def to_bytes(self, source: Source) -> bytes:
        """Return the content of the file; SafsError if the format cannot express the network."""

    @abc.abstractmethod
    def read_back(self, path: Path, source: Source) -> ReadBack:
        """Return what is in a file that was written."""

    @abc.abstractmethod
    def snippet(self, path: Path, source: Source) -> str:
        """Return three lines of Python that load a file, and its weights into the user's own class."""
