"""A comparison in words and as a table for the terminal; the page says the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from safs.comparison.significance import LEVEL
from safs.report.text import NONE, plural

if TYPE_CHECKING:
    from rich.table import Table

FEW_SEEDS = 10
"""Below which a bootstrap band is too narrow."""
_WIDE = 20
"""Up to so many characters of a label stand on one line."""
_LARGE = 1e5
_MINUS = "−"


def summary_table(result: Mapping[str, Any]) -> Table:
    """Return one line per searcher, the best mean rank first."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    explained = (
        "> rs: probability of a better end than random search; to best: median evaluations (seeds that got there) to "
        f"{goal(result)}"
    )
    table = Table(caption=f"after {setting(result)}\n{explained}", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("Searcher", overflow="fold", min_width=min(_WIDE, max(map(len, _labels(result)))))
    for title in ("Cost", "Rank", "> rs", "To best 1 %", "To best 5 %"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Failed", justify="right", overflow="fold")
    for each in ranked(result):
        table.add_row(
            escape(each["label"]),
            " ".join(part for part in (cost(each["final"]), known(result, each)) if part),
            f"{each['rank'][-1]:.2f}",
            NONE if each["beats_random"] is None else f"{100 * each['beats_random'][-1]:.0f} %",
            *(reach(each["reach"][name]) for name in ("best_1", "best_5")),
            failures(each["failed"]),
        )
    return table


def summary_lines(result: Mapping[str, Any]) -> list[str]:
    """Return what may be concluded, a sentence a line."""
    lines = [conclusion(result), too_few_seeds(result), mode(result), charged(result)]
    return [line for line in lines if line] + ([agreement(result["agreement"])] if result.get("agreement") else [])


def ranked(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the searchers, the best mean rank at the end of the budget first."""
    return sorted(result["searchers"], key=lambda each: each["rank"][-1])


def goal(result: Mapping[str, Any]) -> str:
    """Return what is to be reached; of few assignments the best 1 % and 5 % are one and the same."""
    values = result["setting"]
    if values["best"]["best_5"] == 1:
        return f"find the best one of {values['best_of']}, as 5 % of so few are no more"
    single = ", of which 1 % is one" if values["best"]["best_1"] == 1 else ""
    return f"be among the best 1 % or 5 % of {values['best_of']}{single}"


def known(result: Mapping[str, Any], each: Mapping[str, Any]) -> str:
    """Return of how many seeds a mean cost is, if not of all: in the others every evaluation failed."""
    seeds, succeeded = len(result["setting"]["seeds"]), each["final"]["n"]
    return "" if succeeded in (0, seeds) else f"({succeeded} of {seeds})"


def too_few_seeds(result: Mapping[str, Any]) -> str:
    """Return a warning if no difference could have been significant on so few seeds, however large, else nothing."""
    seeds, pairs = len(result["setting"]["seeds"]), result["significance"]["pairs"]
    if not pairs or 2.0 ** (1 - seeds) * len(pairs) < LEVEL or any(pair["significant"] for pair in pairs):
        return ""
    least = next(n for n in itertools.count(seeds) if 2.0 ** (1 - n) * len(pairs) < LEVEL)
    return (
        f"With {plural(seeds, 'seed')} and {plural(len(pairs), 'pair')} of searchers, no difference could be "
        f"significant, however large: that none is says nothing about the searchers. It takes {least} seeds."
    )


def interval(limits: Sequence[float | None], shown: Callable[[float], str]) -> str:
    """Return for example "2.11 to 2.59", with "never" for an evaluation that never comes."""
    low, high = ("never" if limit is None else shown(limit) for limit in limits)
    return low if low == high else f"{low} to {high}"


def setting(result: Mapping[str, Any]) -> str:
    """Return for example "20 evaluations of 3 epochs (60 epochs; 13 given, 39 epochs, to all), 100 seeds"."""
    values = result["setting"]
    total = plural(values["iterations"] * values["epochs"], "epoch")
    given = plural(values["given"] * values["epochs"], "epoch")
    more = f"; {values['given']} given to all, {given}" if values["given"] else ""
    each = plural(values["epochs"], "epoch")
    seeds = plural(len(values["seeds"]), "seed")
    return f"{plural(values['iterations'], 'evaluation')} of {each} ({total}{more}), {seeds}"


def mode(result: Mapping[str, Any]) -> str:
    """Return how many suggestions were pending, what every searcher was given to start from, and what seeds vary."""
    values = result["setting"]
    if values["start"] == "uniform":
        start = f"the {plural(values['given'], 'single operator')} everywhere, free of charge"
    else:
        start = "one random assignment, the same for all with a seed; it is the first of the evaluations"
    told = f"Mode: {values['mode']}. Start: {start}."
    if result["landscape"]["kind"] == "table":
        return f"{told} Seeds vary the searches; every assignment was trained once, with one seed."
    return f"{told} Seeds vary the searches and the training; the pruned network is one."


def charged(result: Mapping[str, Any]) -> str:
    """Return what was spent, and how much of it several searchers shared."""
    values = result["setting"]
    return (
        f"{plural(values['charged'], 'evaluation')} charged, {values['distinct']:,} of them different: what several "
        "searchers ask for with one seed is trained once, and charged to each."
    )


def conclusion(result: Mapping[str, Any]) -> str:
    """Return which searcher has the best mean rank, and of which others that is certain."""
    if len(result["searchers"]) < 2:
        return "One searcher alone: nothing to compare it with."
    best = ranked(result)[0]["label"]
    tied = [each["label"] for each in ranked(result) if each["rank"][-1] == ranked(result)[0]["rank"][-1]]
    told = f"Best mean rank: {best}." if len(tied) == 1 else f"Tied for the best mean rank: {', '.join(tied)}."
    worse, alike, better = certainly_worse(result)
    if worse:
        told += f" Significantly worse (Wilcoxon signed-rank, Holm's correction, 5 %): {', '.join(worse)}."
    if better:
        told += f" Better by the signed ranks, though not by mean rank: {', '.join(better)}."
    if alike:
        told += f" Not told apart from {best} by {plural(len(result['setting']['seeds']), 'seed')}: {', '.join(alike)}."
    return told


def certainly_worse(result: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """Return who is significantly worse than the searcher of best mean rank, who is not told apart, who is better."""
    best, *others = [each["label"] for each in ranked(result)]
    pairs = {frozenset(pair["searchers"]): pair for pair in result["significance"]["pairs"]}
    found: tuple[list[str], list[str], list[str]] = ([], [], [])
    for label in others:
        pair = pairs[frozenset((best, label))]
        found[1 if not pair["significant"] else 0 if pair["better"] == best else 2].append(label)
    return found


def agreement(values: Mapping[str, Any]) -> str:
    """Return whether another comparison ranks the searchers alike."""
    if values["verdict"] == "not comparable":
        shared = f"they share {values['shared'][0]} alone" if values["shared"] else "they share no searcher"
        return f"Cannot be held against {values['with']}: {shared} (of the same label and options), and it takes two."
    here, there = (plural(seeds, "seed") for seeds in values["seeds"])
    tau = NONE if values["tau"] is None else f"{values['tau']:.2f}".replace("-", _MINUS)
    other = f"{values['with']} ({there}; {here} here)"
    if values["verdict"] == "agrees":
        told = f"Agrees with {other}: {plural(values['both'], 'pair')} significant in both, each the same way."
    elif values["verdict"] == "contradicts":
        pairs = "; ".join(f"{better} before {worse}" for better, worse in values["reversed"])
        told = f"Contradicts {other}: significantly the other way round here: {pairs}."
    else:
        told = f"Neither confirms nor contradicts {other}: no pair is significant in both."
    if values["certain"]:
        told += f" Of {plural(values['certain'], 'pair')} significant there, {values['same']} stand the same way here"
        told += f" by mean rank; Kendall's τ of the mean ranks is {tau}."
    else:
        told += f" Kendall's τ of the mean ranks is {tau}."
    if values["left_out"]:
        told += f" Searchers that only one of the two has are left out: {', '.join(values['left_out'])}."
    if values["settings"]:
        differ = "; ".join(f"{name} {here} and {there}" for name, (here, there) in values["settings"].items())
        told += f" The settings differ (here and there): {differ}."
    return told


def cost(final: Mapping[str, Any]) -> str:
    """Return for example "1.2340 ± 0.0210", without ± for a single seed."""
    if final["mean"] is None:
        return "all failed"
    return f"{decimals(final['mean'])} ± {decimals(final['std'])}" if final["n"] > 1 else decimals(final["mean"])


def decimals(value: float) -> str:
    """Return four decimals, or three digits of what diverged."""
    return (f"{value:.4f}" if abs(value) < _LARGE else f"{value:.2e}").replace("-", _MINUS)


def reach(values: Mapping[str, Any]) -> str:
    """Return the median number of evaluations, or which share of the seeds came so far."""
    reached = f"{100 * values['reached']:.0f} %"
    return f"{values['median']:g} ({reached})" if values["median"] is not None else f"{NONE} ({reached})"


def failures(counts: Mapping[str, int]) -> str:
    """Return for example "3 NAN", or a dash."""
    return ", ".join(f"{number} {reason}" for reason, number in counts.items()) or NONE


def _labels(result: Mapping[str, Any]) -> list[str]:
    return [each["label"] for each in result["searchers"]]
