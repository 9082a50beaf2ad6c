"""Comparing the searchers of a config, on its network or on a table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from safs.comparison.agreement import agreement
from safs.comparison.contest import capped, given, hold_contest
from safs.comparison.page import write_page
from safs.comparison.result import Landscape, evaluate_contest
from safs.comparison.table import Table
from safs.config.schema import Config
from safs.config.yaml_input import lay_over
from safs.files import to_json, write_atomically
from safs.observer import Observer
from safs.pipeline.stage1 import stage1_spec
from safs.run_directory import open_run_directory
from safs.search import TrialEvaluator
from safs.session import announce, open_session
from safs.spec import TrialSpec
from safs.storage import storing
from safs.strands import NoTrials
from safs.trial import Problem
from safs.versions import versions
from spaces.assignment import Assignment, AssignmentSpace
from spaces.errors import SafsError

FREE_SETTINGS = ("iterations", "pending", "start")
"""What of stage 1 may be set for a comparison on a table: all that it reads and the table's costs do not depend on."""


def compare_live(
    config: Config, folder: Path, observer: Observer, *, resume: bool, reference: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Compare searchers by training; nothing is trained twice with the same seed, whichever searchers ask for it.

    Args:
        config: its `compare` says which searchers and how often, its `stage1` the budget.
        folder: the run directory; `comparison.json`, `comparison.html` and `figures/` go there, too.
        observer: is told what happens, to show it.
        resume: whether the run directory may have been begun before.
        reference: another comparison, to say whether the two agree.

    Raises:
        SafsError: if there is nothing to search, or as `open_session` says.
    """

    def check(problem: Problem) -> None:
        capped(config, AssignmentSpace(problem.sites.names, config.stage1.operators))

    with open_session(config, folder, observer, resume=resume, purpose="comparison", check=check) as session:
        problem = session.prepared.problem
        space = AssignmentSpace(problem.sites.names, config.stage1.operators)
        announce(config, session.prepared, observer)
        held = capped(config, space)
        asked = len(given(config, space)) + len(config.compare.searchers) * held.stage1.iterations
        most = config.compare.seeds * min(asked, space.size)
        observer.expect(most, lambda spec: 1.0)  # all trials have the same length

        def evaluator(label: str, seed: int) -> TrialEvaluator:
            return TrialEvaluator(session.runner, label, partial(_with_seed, config, seed))

        contest = hold_contest(held, space, evaluator, session.runner, session.journal, observer)
        name = f"{config.model.name} on {config.data.name}"
        return _write(folder, evaluate_contest(held, Landscape(name, space, None), contest), reference)


def _with_seed(config: Config, seed: int, assignment: Assignment) -> TrialSpec:
    return replace(stage1_spec(config, assignment), study_seed=seed)


def compare_on_table(
    table: Table,
    name: str,
    settings: Sequence[str],
    folder: Path,
    observer: Observer,
    *,
    resume: bool,
    reference: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Compare searchers by replaying a table.

    Args:
        table: the outcomes.
        name: what it is called in results.
        settings: such as "stage1.iterations=60", laid over the table's config.
        folder, observer, resume, reference: as in `compare_live`.

    Raises:
        SafsError: if a setting is wrong, or would change the costs in the table; if there is nothing to search; as
            `open_run_directory` says.
    """
    config = table_config(table, settings)
    held = capped(config, table.space)
    inputs = {"purpose": "comparison", "table": _digest(table), "versions": versions()}
    with storing(folder), open_run_directory(folder, config, resume=resume, inputs=inputs) as journal:
        contest = hold_contest(held, table.space, lambda label, seed: table, NoTrials(), journal, observer)
        return _write(folder, evaluate_contest(held, Landscape(name, table.space, table.costs), contest), reference)


def table_config(table: Table, settings: Sequence[str]) -> Config:
    """Return a table's config with settings laid over it.

    Raises:
        SafsError: if one is wrong, or would change the costs in the table.
    """
    values = json.loads(json.dumps(table.config))
    for setting in settings:
        key = setting.partition("=")[0]
        section, _, rest = key.partition(".")
        if not (section == "compare" or (section == "stage1" and rest.split(".")[0] in FREE_SETTINGS)):
            raise SafsError(
                f"--set {key} would change what the table's costs were trained for, or is not read by a comparison; "
                f"on a table only `compare` and {', '.join(f'stage1.{name}' for name in FREE_SETTINGS)} can be set."
            )
        lay_over(values, setting)
    return Config.from_mapping(values)


def _digest(table: Table) -> str:
    content = [table.space.sites, table.space.operators, table.outcomes]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _write(folder: Path, result: dict[str, Any], reference: Mapping[str, Any] | None) -> dict[str, Any]:
    if reference is not None:
        result["agreement"] = agreement(result, reference)
    write_atomically(folder / "comparison.json", to_json(result))
    write_page(folder, result)
    return result
