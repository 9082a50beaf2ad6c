"""Whether two comparisons come to the same answer, such as a table and a training of one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from safs.comparison.significance import Significance, compare_finals

_SETTINGS = ("iterations", "epochs", "fitness", "start", "pending")


def agreement(result: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether two comparisons rank the searchers that they share alike.

    Shared are those with the same label, algorithm and options; they are ranked anew, among themselves. The verdict is
    "contradicts" if a pair differs significantly in both, but not the same way, "agrees" if a pair does in both, and
    all of these the same way, "cannot tell" if none does: few seeds find no difference significant. It is "not
    comparable", and there is nothing else but the names, if they share fewer than two.
    """
    ours, theirs = _finals(result), _finals(other)
    shared = [key for key in ours if key in theirs]
    if len(shared) < 2:
        named = {"with": other["landscape"]["name"], "shared": [key[0] for key in shared]}
        return {**named, "verdict": "not comparable"}
    here, there = (compare_finals({key[0]: finals[key] for key in shared}) for finals in (ours, theirs))
    certain = [pair for pair in there.pairs if there.significant(pair)]
    both = [pair for pair in certain if here.significant(pair)]
    reversed_pairs = [pair for pair in both if here.better[pair] != there.better[pair]]
    return {
        "with": other["landscape"]["name"],
        "seeds": [len(each["setting"]["seeds"]) for each in (result, other)],
        "left_out": [key[0] for finals in (ours, theirs) for key in finals if key not in shared],
        "ranks": {key[0]: [here.ranks[key[0]], there.ranks[key[0]]] for key in shared},
        "tau": _tau(here, there),
        "verdict": "contradicts" if reversed_pairs else "agrees" if both else "cannot tell",
        "both": len(both),
        "reversed": [_ordered(pair, there) for pair in reversed_pairs],
        "certain": len(certain),
        "same": sum(_same_way(pair, here, there) for pair in certain),
        "settings": {
            name: [each["setting"][name] for each in (result, other)]
            for name in _SETTINGS
            if result["setting"][name] != other["setting"][name]
        },
    }


def _finals(result: Mapping[str, Any]) -> dict[tuple[str, str, str], list[float]]:
    """Return the last incumbents by label, algorithm and options; infinity where every evaluation failed."""
    return {
        (each["label"], each["searcher"], repr(sorted(each["options"].items()))): [
            math.inf if run["incumbent"][-1] is None else run["incumbent"][-1] for run in each["runs"]
        ]
        for each in result["searchers"]
    }


def _tau(here: Significance, there: Significance) -> float | None:
    from scipy.stats import kendalltau

    tau = float(kendalltau(list(here.ranks.values()), list(there.ranks.values())).statistic)
    return tau if math.isfinite(tau) else None


def _same_way(pair: tuple[str, str], here: Significance, there: Significance) -> bool:
    """Return whether the mean ranks here stand as the signed ranks there."""
    better, worse = _ordered(pair, there)
    return here.ranks[better] < here.ranks[worse]


def _ordered(pair: tuple[str, str], found: Significance) -> list[str]:
    return [pair[0], pair[1]] if found.better[pair] == pair[0] else [pair[1], pair[0]]
