"""SMAC's local search in an order that is the same in every process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ConfigSpace import Configuration
    from smac.acquisition.maximizer import LocalAndSortedRandomSearch


def in_fixed_order(maximizer: LocalAndSortedRandomSearch) -> LocalAndSortedRandomSearch:
    """Let SMAC's local searches start in an order that is the same in every process (invariant 4).

    It takes their starting points from a set, and the order of a set changes with the hash seed of the process: a
    resumed study would get other proposals than the one that was interrupted.
    """
    local: Any = maximizer._local_search
    starting_points = local._get_init_points_from_previous_configs

    def sorted_points(*arguments: Any) -> list[Configuration]:
        return sorted(starting_points(*arguments), key=lambda configuration: configuration.get_array().tobytes())

    local._get_init_points_from_previous_configs = sorted_points
    return maximizer
