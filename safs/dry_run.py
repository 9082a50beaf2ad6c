"""What a study would do and cost: nothing is trained to an end, and nothing is written."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from safs.config.schema import Config
from safs.describe import describe
from safs.masks import apply_mask
from safs.pipeline.plan import Phase, epochs, examples, plan, steps
from safs.pipeline.prepare import untrained
from safs.pipeline.start import read_start
from safs.pruning import prune
from safs.spec import TrialSpec
from safs.step_time import step_seconds
from safs.trial import Problem
from spaces.assignment import AssignmentSpace

NOT_INCLUDED = (
    "reading the data",
    "validation after each trial, and the test data",
    "SMAC's proposals, some 0.3 s each",
    "gradient flow, which trainings record whose networks are kept",
    "writing trials and the report",
)


def dry_run(config: Config, measuring: Callable[[int, int], None] = lambda done, of: None) -> dict[str, Any]:
    """Return what `safs run CONFIG --dry-run -o json` prints.

    The estimate is that of a measured step of every kind of trial, times the steps of the study at most, one trial
    after the other. The network has its initial weights and a magnitude mask: what a step costs does not depend on
    the values of its weights.

    Args:
        config: the study.
        measuring: is told before each measurement how many are done, of how many.

    Raises:
        SafsError: if something in the config, the data or the checkpoint is wrong, or a training step fails.
    """
    read_start(config)
    initial = untrained(config)
    problems = {"dense": initial, "pruned": _pruned(config, initial)}
    phases = plan(config, initial)
    available = len(initial.data)
    seconds = _measure([spec for phase in phases for spec in phase.specs], problems, measuring)
    planned = [_describe_phase(phase, available, seconds) for phase in phases]
    described = describe(config.model.name, initial.model, initial.sites, None, initial.data.shape)
    return {
        "schema": 1,
        "model": described["model"],
        "traced": described["traced"],
        "data": {"name": config.data.name, **initial.data.describe()},
        "sites": described["sites"],
        "gates": described["gates"],
        "operators": list(config.stage1.operators),
        "space": AssignmentSpace(initial.sites.names, config.stage1.operators).size,
        "device": str(initial.data.device),
        "threads": config.resources.threads,
        "phases": planned,
        "steps": [{**kind.to_json(), "seconds": measured} for kind, measured in seconds.items()],
        "total": {name: sum(phase[name] for phase in planned) for name in ("trials", "epochs", "steps", "seconds")},
        "not_included": list(NOT_INCLUDED),
    }


@dataclass(frozen=True)
class _Kind:
    """Trials whose steps cost the same, on the "dense" or on a "pruned" network."""

    network: str
    assignment: tuple[str, ...]
    learn: bool
    optimizer: str
    batch_size: int

    def to_json(self) -> dict[str, Any]:
        """Return the kind as JSON values."""
        return {**vars(self), "assignment": list(self.assignment)}


def _kind(spec: TrialSpec, available: int) -> _Kind:
    protocol = spec.protocol
    batch_size = min(protocol.batch_size, examples(spec, available))
    network = "dense" if spec.network == "dense" else "pruned"
    return _Kind(network, spec.assignment, spec.learn, protocol.optimizer, batch_size)


def _pruned(config: Config, initial: Problem) -> Problem:
    """Return the network as it is initialised, with a mask of the config's ratio, if it has one."""
    model = copy.deepcopy(initial.model)
    mask = prune(model, config.prune.ratio if config.prune else 0.0)
    apply_mask(model, mask)
    return replace(initial, model=model, mask=mask)


def _measure(
    specs: Sequence[TrialSpec], problems: dict[str, Problem], measuring: Callable[[int, int], None]
) -> dict[_Kind, float]:
    """Return the seconds of a step for every kind of trial among `specs`."""
    available = len(problems["dense"].data)
    first = {_kind(spec, available): spec for spec in reversed(specs)}
    seconds: dict[_Kind, float] = {}
    for kind, spec in reversed(first.items()):
        measuring(len(seconds), len(first))
        seconds[kind] = step_seconds(spec, problems[kind.network], kind.batch_size)
    return seconds


def _describe_phase(phase: Phase, available: int, seconds: dict[_Kind, float]) -> dict[str, Any]:
    counts = [steps(spec, available) for spec in phase.specs]
    times = [count * seconds[_kind(spec, available)] for count, spec in zip(counts, phase.specs, strict=True)]
    return {
        "phase": phase.name,
        "trials": len(phase.specs),
        "epochs": sum(epochs(spec) for spec in phase.specs),
        "examples_per_epoch": examples(phase.specs[0], available),
        "steps": sum(counts),
        "seconds": sum(times),
    }
