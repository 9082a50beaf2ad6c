"""Stage 2: the validation accuracy of every configuration tried, and the best so far."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from matplotlib.axes import Axes

from safs.report.collect import Run, Trial
from safs.report.figures import style
from safs.report.figures.search import incumbents

TITLES = {"safs": "chosen operators", "stage2": "original operators"}
COLOURS = {"safs": style.SAFS, "stage2": style.VANILLA}


def configurations(run: Run, arm: str) -> list[float | None]:
    """Return the validation accuracy in percent of an arm's configurations, in order; None where a fold failed."""
    assignment = run.found if arm == "safs" else run.original
    groups: dict[object, list[Trial]] = {}
    for trial in run.once:
        if trial.phase in TITLES and trial.spec.assignment == assignment:
            groups.setdefault(trial.spec.protocol, []).append(trial)
    return [_accuracy(trials) for trials in groups.values()]


def draw(run: Run) -> style.Picture | None:
    """Return points and the incumbents of both arms, or None if stage 2 trained nothing."""
    arms = {arm: tried for arm in TITLES if (tried := configurations(run, arm))}
    if not arms:
        return None
    figure, axes = style.axes(2.8)
    for arm, tried in arms.items():
        _arm(axes, arm, tried)
    axes.set_ylabel("validation accuracy, %")
    axes.set_xlabel("configuration")
    axes.margins(y=0.12)
    style.integer_ticks(axes, max(len(tried) for tried in arms.values()))
    style.legend(axes)
    alt = "Validation accuracy of the configurations of stage 2: " + "; ".join(
        f"{TITLES[arm]}, {len(tried)} tried, best {_best(tried)}" for arm, tried in arms.items()
    )
    return style.picture("tuning", figure, alt)


def _arm(axes: Axes, arm: str, tried: Sequence[float | None]) -> None:
    colour = COLOURS[arm]
    marker = "o" if arm == "safs" else "D"
    shift = -0.08 if arm == "safs" else 0.08  # so that equal values of the arms do not hide each other
    valid = [(number + shift, value) for number, value in enumerate(tried, start=1) if value is not None]
    failed = [number + shift for number, value in enumerate(tried, start=1) if value is None]
    if valid:
        x, y = zip(*valid, strict=True)
        axes.scatter(x, y, s=24, color=colour, marker=marker, edgecolor="white", linewidth=0.6, label=TITLES[arm])
        best = [-cost for cost in incumbents([None if value is None else -value for value in tried])]
        line = "-" if arm == "safs" else "--"
        axes.step(
            [number + shift for number in range(1, len(tried) + 1)],
            best,
            line,
            where="post",
            color=colour,
            linewidth=1.4,
            label="its best so far",
        )
    if failed:
        label = f"failed ({TITLES[arm]})"
        height = 0.02 if arm == "safs" else 0.07
        bottom = axes.get_xaxis_transform()
        axes.plot(failed, [height] * len(failed), "x", color=colour, transform=bottom, label=label)


def _accuracy(trials: Sequence[Trial]) -> float | None:
    errors = [trial.outcome.cost for trial in trials]
    valid = [error for error in errors if error is not None]
    return 100 * (1 - fmean(valid)) if valid and len(valid) == trials[0].spec.folds else None


def _best(tried: Sequence[float | None]) -> str:
    valid = [value for value in tried if value is not None]
    return f"{max(valid):.1f} %" if valid else "none"
