"""Where the time went: seconds of training in every phase."""

from __future__ import annotations

from dataclasses import dataclass

from safs.outcome import Status
from safs.report import text
from safs.report.collect import Run
from safs.report.figures import style
from safs.report.words import PHASES


@dataclass
class Phase:
    """One phase of a study.

    Attributes:
        name, title: as the journal has it; for people.
        trials, seconds: how many trials it trained, and their seconds together.
        failures: for each reason, how many of them failed.
    """

    name: str
    title: str
    trials: int
    seconds: float
    failures: dict[str, int]


def phases(run: Run) -> list[Phase]:
    """Return the phases in the order in which they began."""
    found: dict[str, Phase] = {}
    for trial in run.trials:
        phase = found.setdefault(trial.phase, Phase(trial.phase, PHASES.get(trial.phase, trial.phase), 0, 0.0, {}))
        phase.trials += 1
        phase.seconds += trial.outcome.seconds
        if trial.outcome.status is Status.FAILED and trial.outcome.reason is not None:
            reason = trial.outcome.reason.value
            phase.failures[reason] = phase.failures.get(reason, 0) + 1
    return list(found.values())


def draw(run: Run) -> style.Picture | None:
    """Return a bar per phase, or None if nothing was trained."""
    found = phases(run)
    if not found:
        return None
    figure, axes = style.axes(0.3 * len(found) + 0.7)
    longest = max(phase.seconds for phase in found) or 1.0
    for position, phase in enumerate(found):
        axes.barh(position, phase.seconds / longest, height=0.6, color=style.SAFS, alpha=0.7)
        share = text.duration(phase.seconds)
        axes.text(phase.seconds / longest + 0.012, position, share, va="center", fontsize=style.SMALL, color=style.INK)
    axes.set_yticks(range(len(found)), [style.literal(phase.title, 44) for phase in found])
    axes.set_xlim(0, 1.16)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.invert_yaxis()
    axes.grid(False)
    alt = "Training time by phase: " + "; ".join(f"{phase.title} {text.duration(phase.seconds)}" for phase in found)
    return style.picture("time", figure, alt)
