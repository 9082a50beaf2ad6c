"""The study in a few plain sentences: what was done and, honestly, what it gained."""

from __future__ import annotations

from dataclasses import dataclass

from safs.report import text
from safs.report.collect import Run
from safs.report.rows import Gain, gain


@dataclass(frozen=True)
class Story:
    """The top of the report.

    Attributes:
        number: the gain over vanilla fine-tuning in percentage points, such as "+21.3".
        verdict: "gain", "loss", "noise" or "unknown".
        sentences: what to know about the number.
        warnings: what limits every row alike, or was left out of the search.
    """

    number: str
    verdict: str
    sentences: list[str]
    warnings: list[str]


def tell(run: Run) -> Story:
    """Return the story of a study."""
    safs, vanilla = run.rows.get("safs"), run.rows.get("vanilla")
    over_vanilla = gain(safs, vanilla)
    if safs is None or vanilla is None or over_vanilla is None:
        return Story(text.NONE, "unknown", [_missing(run)], warnings(run))
    sentences = [
        f"On test images it had never seen, SAFS reaches {text.accuracy(safs)} ({text.seeds(safs.n)}); the same "
        f"pruned network, fine-tuned the usual way for as many epochs, {text.accuracy(vanilla)} "
        f"({text.seeds(vanilla.n)}).",
        _certainty(over_vanilla, min(safs.n, vanilla.n)),
        *_over_best_single(run),
        *_recovered(run),
    ]
    sentences = [_unbroken(sentence) for sentence in sentences]
    return Story(text.points(over_vanilla), over_vanilla.verdict, sentences, warnings(run))


def warnings(run: Run) -> list[str]:
    """Return what is wrong with the network or its mask, such as layers that are cut and logits without a path."""
    found = list(run.problem.get("warnings", []))
    ceiling = run.mask.get("accuracy_ceiling")
    if ceiling is not None and ceiling < 99.95:
        found.append(
            f"The mask sets a ceiling of about {ceiling:.0f} %: no activation can restore a path. Read every accuracy "
            "here against that ceiling, not against 100 %."
        )
    return found


def _missing(run: Run) -> str:
    failed = [name for name in ("vanilla", "safs") if name not in run.rows or run.rows[name].mean is None]
    what = " and ".join({"vanilla": "vanilla fine-tuning", "safs": "SAFS"}[name] for name in failed)
    return f"Every seed of {what} failed, so there is no gain to report; section 7 has the reasons."


def _unbroken(sentence: str) -> str:
    """Keep a number together with its ± and its %."""
    return sentence.replace(" ± ", "\u00a0±\u00a0").replace(" %", "\u00a0%")


def _certainty(over: Gain, seeds: int) -> str:
    if over.margin is None:
        return "This rests on a single seed: seeds alone can differ by several points, so take it as a hint only."
    low, high = (text.signed(over.points + side * over.margin) for side in (-1, 1))
    interval = f"The 95 % confidence interval of the difference is {low} to {high} points"
    return {
        "gain": f"{interval}: more than the luck of the seeds explains.",
        "loss": f"{interval}: in this study SAFS made the network worse.",
        "noise": f"{interval}. It includes zero, so with {text.seeds(seeds)} for a row the difference cannot be told "
        "from noise; more seeds (report.seeds) can decide it.",
    }[over.verdict]


def _over_best_single(run: Run) -> list[str]:
    over = gain(run.rows.get("safs"), run.rows.get("best_single"))
    if over is None:
        return ["No single operator trained at every site, so that there is no such baseline."] * (
            "best_single" not in run.rows
        )
    name = run.summary.get("best_single", "the best one")
    simple = f"Simply putting {name} at every site reaches {text.accuracy(run.rows['best_single'])}"
    if over.points <= 0:
        return [f"{simple}, {abs(over.points):.1f} points more than SAFS: here the search earned nothing over it."]
    tail = {"noise": ", a difference within the noise of the seeds", "unknown": " (single seed)"}.get(over.verdict, "")
    return [f"{simple}; SAFS is {over.points:.1f} points above that{tail}."]


def _recovered(run: Run) -> list[str]:
    lost, won = (
        gain(run.rows.get("dense"), run.rows.get("vanilla")),
        gain(run.rows.get("safs"), run.rows.get("vanilla")),
    )
    if lost is None or won is None or lost.points < 1 or won.points <= 0:
        return []
    dense = text.accuracy(run.rows["dense"])
    share = 100 * won.points / lost.points
    if share >= 100:
        return [f"The dense network had {dense}: SAFS wins all of that back."]
    return [
        f"The dense network had {dense}. Of the {lost.points:.1f} points that vanilla fine-tuning leaves missing, "
        f"SAFS wins back {share:.0f} %."
    ]
