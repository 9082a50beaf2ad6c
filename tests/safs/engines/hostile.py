"""Networks that crash, hang, or take all memory there is, once they are on a worker of Ray's."""

import os
import sys
import time

import torch
from torch import Tensor

from safs.models.lenet import LeNet5


def _crash() -> None:
    os._exit(7)


def _hang() -> None:
    time.sleep(10_000)


def _hog() -> None:
    torch.empty(2**50)


@torch.fx.wrap
def misbehave(x: Tensor, kind: str) -> Tensor:
    if "default_worker" in sys.argv[0]:
        {"crash": _crash, "hang": _hang, "hog": _hog}[kind]()
    return x


class Hostile(LeNet5):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        return misbehave(super().forward(x), self.kind)


class Homebody:
    def __deepcopy__(self, memo: object) -> "Homebody":
        return self

    def __reduce__(self) -> str:
        raise TypeError("I stay here")


class Unpicklable(LeNet5):
    def __init__(self) -> None:
        super().__init__()
        self.part = Homebody()
