"""A session: a run directory, held by this process, with the pruned network ready for trials."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from safs.config.schema import Config
from safs.data.splits import folds, split_fingerprint
from safs.describe import describe
from safs.engines.base import Engine
from safs.engines.registry import find_engine
from safs.journal import Journal
from safs.observer import Observer
from safs.pipeline.prepare import Prepared, prepare, untrained
from safs.pipeline.start import Start, read_start
from safs.run_directory import log_path, open_run_directory
from safs.runner import Runner
from safs.storage import storing
from safs.trial import Problem
from safs.versions import versions

Purpose = Literal["study", "table", "comparison"]


@dataclass(frozen=True)
class Session:
    """What the steps of a study, a table or a comparison work with.

    Attributes:
        prepared: the pruned network, its mask and the training data.
        runner: runs trials, or answers from the journal.
        journal: the records of the run directory.
    """

    prepared: Prepared
    runner: Runner
    journal: Journal


@contextmanager
def open_session(
    config: Config,
    folder: Path,
    observer: Observer,
    *,
    resume: bool,
    purpose: Purpose,
    check: Callable[[Problem], None] = lambda problem: None,
) -> Iterator[Session]:
    """Open a run directory, or go on with it, and prepare its network.

    Args:
        config: says what to prepare.
        folder: the run directory; made if it does not exist.
        observer: is told of every trial.
        resume: whether the run directory may have been begun before.
        purpose: what the trials are for; a run directory has one.
        check: raises a SafsError if the untrained network does not suit that purpose.

    Raises:
        SafsError: if something in the config, the data or the checkpoint is wrong, or the run directory is of another
            config, purpose or input; nothing has been trained and nothing existing been touched then.
        StorageError: if the disk is full or fails; what was finished is kept.
    """
    start = read_start(config)
    initial = untrained(config)
    check(initial)
    engine = find_engine(config.resources.engine)(config.resources, partial(log_path, folder), observer)
    with closing(engine), storing(folder):
        inputs = {"purpose": purpose, **_inputs(config, initial, start, engine)}
        with (
            open_run_directory(folder, config, resume=resume, inputs=inputs) as journal,
            Runner(engine, journal, folder, observer) as runner,
        ):
            yield Session(prepare(config, initial, start, engine, runner, observer), runner, journal)


def _inputs(config: Config, initial: Problem, start: Start | None, engine: Engine) -> dict[str, Any]:
    """Return what identifies everything that a session reads and the config only names."""
    files = start.sha256 if start else {}
    return {
        "checkpoint": files.get("checkpoint"),
        "mask": files.get("mask"),
        "data": initial.data.fingerprint(),
        "folds": split_fingerprint(folds(initial.data.labels, config.stage2.folds, config.seed)),
        "network": _fingerprint(initial),
        "device": engine.device,
        "versions": versions(),
    }


def announce(config: Config, prepared: Prepared, observer: Observer) -> dict[str, Any]:
    """Tell an observer what people should know of a prepared network or its mask, and return its description."""
    problem = prepared.problem
    shape = problem.data.shape
    described = describe(config.model.name, problem.model, problem.sites, problem.mask, shape, prepared.loaded)
    for warning in described["warnings"]:
        observer.warning(warning)
    return described


def _fingerprint(initial: Problem) -> str:
    """Return 16 hexadecimal digits of what the network computes: its graph, and its tensors as they are initialised."""
    digest = hashlib.sha256(initial.sites.code.encode())
    for name, tensor in initial.model.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
