"""Random numbers that a forward pass draws while it is looked at, and that nobody else may miss."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch


@contextlib.contextmanager
def kept_random_states() -> Iterator[Callable[[], bool]]:
    """Leave the global random states of torch, Python and numpy as they were.

    What it gives says whether any random number has been drawn from them since.
    """
    generators = (torch.default_generator, *torch.cuda.default_generators)
    numpy = sys.modules.get("numpy")
    states = [generator.get_state() for generator in generators]
    python, numpys = random.getstate(), numpy.random.get_state() if numpy else ()

    def drawn() -> bool:
        if random.getstate() != python or (numpy and not _same(numpy.random.get_state(), numpys)):
            return True
        return not all(torch.equal(g.get_state(), state) for g, state in zip(generators, states, strict=True))

    try:
        yield drawn
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        random.setstate(python)
        if numpy:
            numpy.random.set_state(numpys)


def _same(state: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Return whether two states of numpy's generator are the same: a name, an array of numbers, and numbers."""
    return state[1].tobytes() == other[1].tobytes() and (state[0], *state[2:]) == (other[0], *other[2:])
