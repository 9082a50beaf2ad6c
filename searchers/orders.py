"""An order of the operators for each site, drawn at random: designs in which every operator comes to every site."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spaces.assignment import AssignmentSpace

Orders = list[list[str]]


def random_orders(space: AssignmentSpace, rng: np.random.Generator) -> Orders:
    """Return for each site its operators in a random order of its own."""
    return [[space.operators[i] for i in rng.permutation(len(space.operators))] for _ in space.sites]


def check_orders(space: AssignmentSpace, values: Sequence[Sequence[object]]) -> Orders:
    """Return orders that come from a saved state.

    Raises:
        ValueError: if there is not one for each site, of all operators.
    """
    orders = [[str(name) for name in order] for order in values]
    if len(orders) != len(space.sites):
        raise ValueError(f"there are orders for {len(orders)} sites")
    for order in orders:
        if sorted(order) != sorted(space.operators):
            raise ValueError(f"{order} is no order of the operators")
    return orders
