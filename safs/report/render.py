"""The HTML: what the template shows, prepared as text, and the template filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safs.report import text
from safs.report.collect import Run
from safs.report.document import embedded, fill
from safs.report.figures.frequency import proposals
from safs.report.figures.search import evaluations
from safs.report.figures.shapes import PANELS
from safs.report.figures.style import Picture
from safs.report.figures.time import phases
from safs.report.figures.tuning import configurations
from safs.report.images import describe_images
from safs.report.rows import Row, gain
from safs.report.story import tell
from safs.report.words import COSTS, EXPLANATIONS, REASONS, SETTINGS, TITLES
from safs.search import mode
from spaces.operators import OPERATORS


def render(run: Run, pictures: Sequence[Picture]) -> str:
    """Return the report as one HTML document that asks the network for nothing."""
    return fill(Path(__file__).with_name("report.html"), _context(run, pictures))


def _context(run: Run, pictures: Sequence[Picture]) -> dict[str, Any]:
    return {
        "run": run,
        "config": run.config,
        "inputs": {"versions": {}, "device": "unknown", "data": "unknown", "checkpoint": None, **run.inputs},
        "images": describe_images(run.problem.get("data", {})),
        "story": tell(run),
        "cards": _cards(run),
        "rows": [_row(run, name) for name in run.rows],
        "figures": {picture.name: embedded(picture) for picture in pictures},
        "shapes": [embedded(picture) for picture in pictures if picture.name.startswith("shapes")],
        "sites": [_site(site) for site in run.sites],
        "panels": PANELS,
        "changed": sum(site.operator != site.original for site in run.sites),
        "evaluations": _evaluations(run),
        "settings": _settings(run),
        "tried": {arm: len(configurations(run, arm)) for arm in ("safs", "stage2")},
        "validation": _validation(run),
        "phases": _phases(run),
        "layers": _layers(run),
        "sparsity": f"{100 * run.mask.get('sparsity', 0.0):.1f}",
        "ceiling": _ceiling(run),
        "mode": mode(run.config.stage1.pending),
        "cost_name": COSTS[run.config.stage1.fitness],
    }


def _cards(run: Run) -> list[dict[str, str]]:
    return [
        {"name": name, "title": TITLES[name], "accuracy": text.accuracy(row), "seeds": _seeds(row)}
        for name in ("dense", "vanilla", "best_single", "safs")
        if (row := run.rows.get(name)) is not None
    ]


def _seeds(row: Row) -> str:
    return "before pruning" if row.name == "dense" else text.seeds(row.n)


def _row(run: Run, name: str) -> dict[str, str]:
    row = run.rows[name]
    explanation = EXPLANATIONS.get(name, "")
    if name == "best_single":
        explanation += f" Here: {run.summary.get('best_single', 'unknown')}."
    return {
        "name": name,
        "title": TITLES.get(name, name),
        "explanation": explanation,
        "accuracy": text.accuracy(row) if row.mean is not None else "every seed failed",
        "n": str(row.n),
        "gain": "reference" if name == "vanilla" else text.points(gain(row, run.rows.get("vanilla"))),
        "nonzero": f"{row.nonzero:,}",
        "sparsity": f"{100 * row.sparsity:.1f} %",
        "flops": f"{row.flops:,}",
        "extra": f"{row.extra_parameters:,}",
        "failed": str(row.failed) if row.failed else "",
    }


def _site(site: Any) -> dict[str, str]:
    operator = OPERATORS.get(site.operator)
    constants = ", ".join(f"{name} = {text.scale(value)}" for name, value in site.constants.items())
    return {
        "name": site.name,
        "original": site.original,
        "operator": site.operator,
        "formula": operator.formula if operator else "",
        "alpha": text.scale(site.alpha),
        "beta": text.scale(site.beta),
        "constants": constants or text.NONE,
    }


def _evaluations(run: Run) -> dict[str, int]:
    trials = evaluations(run)
    return {
        "all": len(trials),
        "uniform": sum(trial.phase == "uniform" for trial in trials),
        "searcher": len(proposals(run)),
        "failed": sum(trial.outcome.cost is None for trial in trials),
        "finalists": sum(trial.phase == "finalists" for trial in run.once),
    }


def _settings(run: Run) -> list[dict[str, str]]:
    """Return one line per hyperparameter: vanilla, SAFS, stage 2 only."""
    arms: list[Mapping[str, Any]] = [_active(run.config.train.to_json())]
    for arm in ("safs", "stage2"):
        found = run.summary["stage2"].get(arm)
        arms.append(_active(run.config.train.tuned(found["hyperparameters"]).to_json()) if found else {})
    lines = []
    for name, title in SETTINGS.items():
        values = [text.setting(arm[name]) if name in arm else text.NONE for arm in arms]
        if name == "scale_lr":
            values[0] = text.NONE
        if set(values) == {text.NONE}:
            continue
        lines.append({"title": title, "vanilla": values[0], "safs": values[1], "stage2": values[2]})
    return lines


def _active(protocol: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is zero, or nothing, because the optimiser or the schedule has no use for it."""
    optional = ("momentum", "weight_decay", "restart_period")
    return {name: value for name, value in protocol.items() if value or name not in optional}


def _validation(run: Run) -> dict[str, str]:
    found = run.summary["stage2"]
    return {
        arm: f"{found[arm]['validation_accuracy']:.1f} %" if arm in found else text.NONE for arm in ("safs", "stage2")
    }


def _phases(run: Run) -> dict[str, Any]:
    found = phases(run)
    total = sum(phase.seconds for phase in found)
    lines = [
        {
            "title": phase.title,
            "trials": f"{phase.trials:,}",
            "time": text.duration(phase.seconds),
            "share": f"{100 * phase.seconds / total:.0f} %" if total else text.NONE,
            "failures": ", ".join(f"{n} × {reason} ({REASONS[reason]})" for reason, n in phase.failures.items())
            or "none",
        }
        for phase in found
    ]
    return {"lines": lines, "trials": f"{sum(phase.trials for phase in found):,}", "time": text.duration(total)}


def _layers(run: Run) -> list[dict[str, str]]:
    return [
        {
            "name": layer["name"],
            "nonzero": f"{layer['nonzero']:,}",
            "total": f"{layer['total']:,}",
            "kept": f"{100 * layer['nonzero'] / layer['total']:.2f} %" if layer["total"] else text.NONE,
            "connected": f"{layer['connected']:,} of {layer['outputs']:,}" if "outputs" in layer else text.NONE,
            "cut": "yes" if layer.get("connected") == 0 else "",
        }
        for layer in run.mask.get("layers", [])
    ]


def _ceiling(run: Run) -> str:
    value = run.mask.get("accuracy_ceiling")
    return text.NONE if value is None else f"{value:.0f} %"
