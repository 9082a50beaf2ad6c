"""`summary.json`: the table of invariant 9 and what was found. It holds nothing that two equal studies differ in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from safs.config.schema import Config
from safs.describe import extra_parameters
from safs.pipeline.assess import Scores
from safs.pipeline.stage1 import Stage1
from safs.pipeline.stage2 import Stage2
from safs.search import mode
from safs.spec import TrialSpec
from safs.trial import Problem
from searchers.registry import all_options
from spaces.errors import SafsError

SCHEMA = 1
ROWS = ("dense", "pruned", "vanilla", "srelu", "best_single", "stage1", "stage2", "safs")


def summarise(
    config: Config,
    problem: Problem,
    described: Mapping[str, Any],
    stage1: Stage1,
    tuned: Mapping[str, Stage2],
    rows: Mapping[str, list[TrialSpec]],
    scores: Scores,
) -> dict[str, Any]:
    """Return the summary of a study; accuracies are in percent."""
    mask, flops = described["mask"], described["flops"]
    table = []
    for name in ROWS:
        if name not in scores:
            continue
        specs = rows.get(name, [])
        extra = (
            extra_parameters(
                problem.model,
                problem.sites,
                specs[0].assignment,
                learn=specs[0].learn,
                per_channel=specs[0].per_channel,
            )
            if specs
            else 0
        )
        table.append(
            {
                "name": name,
                "test_accuracy": _spread([100 * score["accuracy"] for score in scores[name]]),
                "test_loss": _spread([score["loss"] for score in scores[name]]),
                "failed": max(0, len(specs) - len(scores[name])),
                "sparsity": 0.0 if name == "dense" else mask["sparsity"],
                "nonzero": mask["total"] if name == "dense" else mask["nonzero"],
                "total": mask["total"],
                "flops": flops,
                "extra_parameters": extra,
            }
        )
    return {
        "schema": SCHEMA,
        "rows": table,
        "epochs": config.train.epochs,
        "seeds": config.report.seeds,
        "best_single": stage1.best_single[0] if stage1.best_single else None,
        "assignment": dict(zip(problem.sites.names, stage1.assignment, strict=True)),
        "stage1_cost": stage1.cost,
        "search": {
            "searcher": config.stage1.searcher,
            "options": all_options(config.stage1.searcher, config.stage1.options),
            "iterations": config.stage1.iterations,
            "start": config.stage1.start,
            "pending": config.stage1.pending,
            "mode": mode(config.stage1.pending),
        },
        "stage2": {
            arm: {"hyperparameters": dict(found.hyperparameters), "validation_accuracy": 100 * (1 - found.error)}
            for arm, found in tuned.items()
        },
        "accuracy_ceiling": mask.get("accuracy_ceiling"),
    }


def _spread(values: list[float]) -> dict[str, Any]:
    """Return mean, sample standard deviation (0 for one value) and number; no mean where every seed failed."""
    return {
        "mean": fmean(values) if values else None,
        "std": stdev(values) if len(values) > 1 else 0.0,
        "n": len(values),
    }


def read_summary(folder: Path) -> dict[str, Any]:
    """Return the summary of a finished study; SafsError if there is none."""
    path = folder / "summary.json"
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (folder / "comparison.json").exists():
            raise SafsError(
                f"{folder} holds a comparison of searchers, not a study; see comparison.html there."
            ) from None
        raise SafsError(f"There is no {path}: the study has not ended; `safs run --resume` ends it.") from None
    except OSError as error:
        raise SafsError(f"{path} cannot be read ({error.strerror}); give the run directory of a study.") from None
    except ValueError as error:
        raise SafsError(f"{path} is damaged: {error}; `safs run --resume` writes it anew.") from None
    return summary
