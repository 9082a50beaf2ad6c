"""A comparison in words and as a table for the terminal; the page says the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from safs.report.text import NONE, plural

if TYPE_CHECKING:
    from rich.table import Table

LEVEL = 0.05
"""Below which corrected p-value two searchers are said to differ."""


def summary_table(result: Mapping[str, Any]) -> Table:
    """Return one line per searcher, the best mean rank first."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    explained = "> rs: probability of a better end than random search; to best: median evaluations (seeds that got there)"
    table = Table(caption=f"after {setting(result)}\n{explained}", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("Searcher", overflow="fold")
    for title in ("Cost", "Rank", "> rs", "To best 1 %", "To best 5 %", "Failed"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in ranked(result):
        table.add_row(
            escape(each["label"]),
            cost(each["final"]),
            f"{each['rank'][-1]:.2f}",
            NONE if each["beats_random"] is None else f"{100 * each['beats_random'][-1]:.0f} %",
            *(reach(each["reach"][name]) for name in ("best_1", "best_5")),
            failures(each["failed"]),
        )
    return table


def summary_lines(result: Mapping[str, Any]) -> list[str]:
    """Return what may be concluded, a sentence a line."""
    lines = [conclusion(result), mode(result), charged(result)]
    return lines + ([agreement(result["agreement"])] if result.get("agreement") else [])


def ranked(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the searchers, the best mean rank at the end of the budget first."""
    return sorted(result["searchers"], key=lambda each: each["rank"][-1])


def setting(result: Mapping[str, Any]) -> str:
    """Return for example "20 evaluations of 3 epochs (60 epochs), 100 seeds"."""
    values = result["setting"]
    total = values["iterations"] * values["epochs"]
    each = plural(values["epochs"], "epoch")
    seeds = plural(len(values["seeds"]), "seed")
    return f"{plural(values['iterations'], 'evaluation')} of {each} ({plural(total, 'epoch')}), {seeds}"


def mode(result: Mapping[str, Any]) -> str:
    """Return how many suggestions were pending, and what every searcher was given to start from."""
    values = result["setting"]
    if values["start"] == "uniform":
        start = f"the {values['given']} single operators everywhere, which cost nothing"
    else:
        start = "one random assignment, the same for all with a seed; it is the first of the evaluations"
    return f"Mode: {values['mode']}. Start: {start}."


def charged(result: Mapping[str, Any]) -> str:
    """Return what was spent, and how much of it was known already."""
    values = result["setting"]
    return (
        f"{plural(values['charged'], 'evaluation')} were charged to the searchers; "
        f"{plural(values['distinct'], 'different one')} had to be known: what several ask for with one seed is trained "
        "once, and charged to each."
    )


def conclusion(result: Mapping[str, Any]) -> str:
    """Return which searcher is best and which others are not significantly worse."""
    if len(result["searchers"]) < 2:
        return "One searcher alone: nothing to compare it with."
    best, *others = [each["label"] for each in ranked(result)]
    p_values = {frozenset(pair["searchers"]): pair["p"] for pair in result["significance"]["pairs"]}
    worse = [label for label in others if p_values[frozenset((best, label))] < LEVEL]
    alike = [label for label in others if label not in worse]
    seeds = plural(len(result["setting"]["seeds"]), "seed")
    tied = [each["label"] for each in ranked(result) if each["rank"][-1] == ranked(result)[0]["rank"][-1]]
    told = f"Best mean rank: {best}." if len(tied) == 1 else f"Tied for the best mean rank: {', '.join(tied)}."
    if worse:
        told += f" Significantly worse (Wilcoxon signed-rank, Holm's correction, 5 %): {', '.join(worse)}."
    if alike:
        told += f" Not told apart from {best} by {seeds}: {', '.join(alike)}."
    return told


def agreement(values: Mapping[str, Any]) -> str:
    """Return whether another comparison ranks the searchers alike."""
    tau = NONE if values["tau"] is None else f"{values['tau']:.2f}".replace("-", "−")
    told = f"{'Agrees' if values['agrees'] else 'Does not agree'} with {values['with']} ({values['seeds']} seeds): "
    told += f"Kendall's τ of the mean ranks is {tau}"
    if values["agrees"]:
        return f"{told}; no pair that differs significantly there stands the other way round here."
    pairs = "; ".join(f"{better} before {worse}" for better, worse in values["reversed"])
    return f"{told}; there significantly, but here the other way round: {pairs}."


def cost(final: Mapping[str, Any]) -> str:
    """Return for example "1.2340 ± 0.0210", without ± for a single seed."""
    if final["mean"] is None:
        return "all failed"
    return f"{final['mean']:.4f} ± {final['std']:.4f}" if final["n"] > 1 else f"{final['mean']:.4f}"


def reach(values: Mapping[str, Any]) -> str:
    """Return the median number of evaluations, or which share of the seeds came so far."""
    reached = f"{100 * values['reached']:.0f} %"
    return f"{values['median']:g} ({reached})" if values["median"] is not None else f"{NONE} ({reached})"


def failures(counts: Mapping[str, int]) -> str:
    """Return for example "3 NAN", or a dash."""
    return ", ".join(f"{number} {reason}" for reason, number in counts.items()) or NONE
