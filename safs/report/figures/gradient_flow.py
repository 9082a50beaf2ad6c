"""Gradient flow of vanilla fine-tuning and of SAFS by epoch (Fig. 7 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from safs.report.collect import Run, Trial
from safs.report.figures import style


def flows(run: Run) -> dict[str, list[list[float]]]:
    """Return for "vanilla" and "safs" the gradient flow of every seed that recorded one, by epoch."""
    tuned = run.summary["stage2"].get("safs")
    protocol = run.config.train.tuned(tuned["hyperparameters"]) if tuned else None
    final = [trial for trial in run.once if trial.spec.network == "pruned" and trial.spec.keep]

    def recorded(trials: Sequence[Trial]) -> list[list[float]]:
        return [list(flow) for trial in trials if (flow := trial.outcome.metrics.get("gradient_flow"))]

    return {
        "vanilla": recorded(
            [
                trial
                for trial in final
                if not trial.spec.learn
                and trial.spec.assignment == run.original
                and trial.spec.protocol == run.config.train
            ]
        ),
        "safs": recorded(
            [
                trial
                for trial in final
                if trial.spec.learn and trial.spec.assignment == run.found and trial.spec.protocol == protocol
            ]
        ),
    }


def draw(run: Run) -> style.Picture | None:
    """Return one line per arm with the range over its seeds, or None if no trial recorded gradient flow."""
    arms = {name: _aligned(seeds) for name, seeds in flows(run).items() if seeds}
    if not arms:
        return None
    figure, axes = style.axes(2.9)
    titles = {"vanilla": "vanilla fine-tuning", "safs": "SAFS"}
    colours = {"vanilla": style.VANILLA, "safs": style.SAFS}
    for name, flow in arms.items():
        epochs = np.arange(1, flow.shape[1] + 1)
        line = "--" if name == "vanilla" else "-"
        axes.plot(
            epochs, np.nanmean(flow, axis=0), line, color=colours[name], linewidth=1.8, marker=".", label=titles[name]
        )
        if len(flow) > 1:
            axes.fill_between(
                epochs,
                np.nanmin(flow, axis=0),
                np.nanmax(flow, axis=0),
                color=colours[name],
                alpha=0.15,
                linewidth=0,
            )
    everything = [float(value) for flow in arms.values() for value in flow.flat if value > 0]
    log = style.log_if_wide(axes, everything)
    axes.set_ylabel("gradient flow" + (" (log scale)" if log else ""))
    axes.set_xlabel("epoch")
    style.integer_ticks(axes, max(flow.shape[1] for flow in arms.values()))
    style.legend(axes)
    alt = "Gradient flow by epoch: " + "; ".join(
        f"{titles[name]} {np.nanmean(flow):.3g} on average" for name, flow in arms.items()
    )
    return style.picture("gradient-flow", figure, alt)


def _aligned(seeds: Sequence[Sequence[float | None]]) -> np.ndarray:
    """Return seeds by epochs; NaN where a seed recorded nothing, so that no epoch is without a value."""
    longest = max(len(seed) for seed in seeds)
    rows = [[np.nan if value is None else float(value) for value in seed] for seed in seeds]
    table = np.array([row + [np.nan] * (longest - len(row)) for row in rows])
    table[~np.isfinite(table)] = np.nan
    return table[:, ~np.isnan(table).all(axis=0)]
