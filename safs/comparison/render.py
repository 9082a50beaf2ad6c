"""The HTML of a comparison: what the template shows, prepared as text, and the template filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safs.comparison import text
from safs.comparison.figures.looks import looks
from safs.comparison.result import REFERENCE
from safs.comparison.significance import LEVEL
from safs.report.document import embedded, fill
from safs.report.figures.style import Picture
from safs.report.text import NONE, plural
from safs.report.words import COSTS, REASONS

Result = Mapping[str, Any]


def render(result: Result, config: str, pictures: Sequence[Picture]) -> str:
    """Return a comparison as one HTML document that asks the network for nothing; `config` is its YAML."""
    return fill(Path(__file__).with_name("comparison.html"), _context(result, config, pictures))


def _context(result: Result, config: str, pictures: Sequence[Picture]) -> dict[str, Any]:
    landscape = result["landscape"]
    failed = sorted({reason for each in result["searchers"] for reason in each["failed"]})
    agreement = result.get("agreement")
    return {
        "landscape": landscape,
        "best": None if landscape["best"] is None else text.decimals(landscape["best"]),
        "assignments": f"{landscape['size']:,}" if landscape["size"] < 1e9 else f"{landscape['size']:.1e}",
        "setting": result["setting"],
        "budget": text.setting(result),
        "sentences": [text.conclusion(result), *([text.agreement(agreement)] if agreement else [])],
        "mode": text.mode(result),
        "charged": text.charged(result),
        "headline": _headline(result),
        "rows": [_row(result, each) for each in text.ranked(result)],
        "beats": result["searchers"][0]["beats_random"] is not None,
        "reasons": {reason: REASONS[reason] for reason in failed},
        "partial": partial_means(result),
        "friedman": friedman(result["significance"]["friedman"]),
        "tests": result["significance"]["tests"],
        "matrix": _matrix(result),
        "too_few": text.too_few_seeds(result),
        "narrow": len(result["setting"]["seeds"]) < text.FEW_SEEDS,
        "agreement": _agreement(result),
        "figures": {picture.name: embedded(picture) for picture in pictures},
        "goal": text.goal(result),
        "cost_name": COSTS[result["setting"]["fitness"]],
        "config": config,
    }


def _headline(result: Result) -> dict[str, str]:
    best, *others = text.ranked(result)
    if not others:
        return {"name": best["label"], "kind": "unsure", "unit": "the only searcher"}
    if best["rank"][-1] == others[0]["rank"][-1]:
        return {"name": "A tie", "kind": "unsure", "unit": f"at the best mean rank, {best['rank'][-1]:.2f}"}
    worse, alike, better = text.certainly_worse(result)
    unit = f"has the best mean rank, {best['rank'][-1]:.2f} (1: always best, {len(others) + 1}: always worst). "
    if len(worse) == len(others):
        return {"name": best["label"], "kind": "sure", "unit": f"{unit}All others are significantly worse."}
    unsure = len(alike) + len(better)
    which = f"{unsure} of the {len(others)} others" if unsure < len(others) else "every other searcher"
    return {"name": f"{best['label']}?", "kind": "unsure", "unit": f"{unit}Not sure: {which} may be as good."}


def _row(result: Result, each: Mapping[str, Any]) -> dict[str, Any]:
    reference = next((other["label"] for other in result["searchers"] if other["searcher"] == REFERENCE), None)
    return {
        "label": each["label"],
        "colour": looks(result)[each["label"]].colour,
        "options": _options(each),
        "cost": text.cost(each["final"]),
        "known": f"{known} seeds" if (known := text.known(result, each).strip("()")) else "",
        "rank": f"{each['rank'][-1]:.2f}",
        "ranks": text.interval(each["rank_interval"], "{:.2f}".format),
        "beats": _beats(each) if each["label"] != reference else "reference",
        "duels": text.interval(each["beats_random_interval"], lambda share: f"{100 * share:.0f} %")
        if reference not in (None, each["label"])
        else "",
        **{name: text.reach(values) for name, values in each["reach"].items()},
        "until": {name: text.interval(values["interval"], "{:g}".format) for name, values in each["reach"].items()},
        "evaluations": f"{each['evaluations']:,}",
        "epochs": plural(each["epochs"], "epoch"),
        "shared": f"{each['shared']:,}",
        "failed": text.failures(each["failed"]).replace(" ", "\u00a0").replace(",\u00a0", ", "),
    }


def _options(each: Mapping[str, Any]) -> str:
    options = (f"{name} {'default' if value is None else value}" for name, value in each["options"].items())
    return ", ".join([each["searcher"], *options])


def _beats(each: Mapping[str, Any]) -> str:
    return NONE if each["beats_random"] is None else f"{100 * each['beats_random'][-1]:.0f} %"


def partial_means(result: Result) -> list[str]:
    """Return where a mean curve leaves seeds out because they had had no success yet, for whom."""
    seeds = len(result["setting"]["seeds"])
    found: dict[str, list[str]] = {}
    for each in result["searchers"]:
        successes = each["curve"]["seeds"]
        last = sum(count < seeds for count in successes)
        if last:
            until = f"at evaluations 1 to {last}" if last > 1 else "at evaluation 1"
            counts = dict.fromkeys((str(successes[0]), str(successes[last - 1])))
            words = f"{until} ({' to '.join(counts)} of {plural(seeds, 'seed')})"
            found.setdefault(words, []).append(each["label"])
    every = len(result["searchers"])
    return [f"{'all searchers' if len(who) == every else ', '.join(who)} {words}" for words, who in found.items()]


def p_value(p: float) -> str:
    """Return for example "0.028", or "<0.001"."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def friedman(p: float | None) -> str:
    """Return what Friedman's test says of all searchers together."""
    if p is None:
        return "Friedman's test needs three searchers, two seeds and results that differ, so it says nothing here."
    shown = "< 0.001" if p < 0.001 else f"= {p_value(p)}"
    if p < LEVEL:
        return f"Friedman's test: the searchers are not all alike (p {shown})."
    return f"Friedman's test: the searchers may all be alike (p {shown}), so that no pair is called significant."


def _matrix(result: Result) -> list[dict[str, Any]]:
    """Return the lines of the table of p-values: one cell per searcher, the best mean rank first."""
    labels = [each["label"] for each in text.ranked(result)]
    pairs = {frozenset(pair["searchers"]): pair for pair in result["significance"]["pairs"]}
    lines = []
    for label in labels:
        found = [pairs.get(frozenset((label, other)), {"p": None, "significant": False}) for other in labels]
        cells = [each | {"p": NONE if each["p"] is None else p_value(each["p"])} for each in found]
        lines.append({"label": label, "cells": cells})
    return lines


def _agreement(result: Result) -> dict[str, Any] | None:
    values = result.get("agreement")
    if values is None:
        return None
    lines = [
        {"label": label, "here": f"{here:.2f}", "there": f"{there:.2f}"}
        for label, (here, there) in sorted(values.get("ranks", {}).items(), key=lambda each: each[1][0])
    ]
    return {"with": values["with"], "told": text.agreement(values), "lines": lines}
