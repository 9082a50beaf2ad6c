"""Step 1: search one unary operator per site, α = β = 1 and not trained (Section 4.2, stage 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from safs.config.schema import Config
from safs.observer import Observer
from safs.outcome import TrialOutcome
from safs.runner import Runner
from safs.search import TrialEvaluator, search, starting_points
from safs.spec import TrialSpec
from safs.strands import Strand
from safs.trial import Problem
from searchers.registry import make_searcher
from spaces.assignment import Assignment, AssignmentSpace
from spaces.errors import SafsError


class NoValidTrialError(SafsError):
    """The budget was spent without one valid trial."""

    exit_code = 3


@dataclass(frozen=True)
class Stage1:
    """What stage 1 found.

    Attributes:
        best_single: the best operator that is the same at every site, or None if none of them trained.
        assignment: the best assignment.
        cost: its cost.
    """

    best_single: Assignment | None
    assignment: Assignment
    cost: float


def search_operators(config: Config, problem: Problem, runner: Runner, observer: Observer) -> Strand[Stage1]:
    """Evaluate every single operator everywhere, then search with the configured searcher.

    The uniform assignments are the baseline `best_single`; a searcher that starts from them gets their outcomes for
    nothing. Its own evaluations are counted exactly; what they found best is then confirmed at full length.

    Raises:
        NoValidTrialError: if every evaluation failed.
    """
    space = AssignmentSpace(problem.sites.names, config.stage1.operators)
    uniform = space.uniform()
    observer.phase("best single operator", len(uniform))
    outcomes = yield from runner.results("uniform", [stage1_spec(config, assignment) for assignment in uniform])
    costs = _costs(uniform, outcomes)
    best_single = min(costs, key=lambda assignment: costs[assignment], default=None)
    observer.phase("stage 1", config.stage1.iterations)
    searcher = make_searcher(
        config.stage1.searcher,
        space,
        config.seed,
        start=starting_points(config.stage1.start, space, config.seed),
        options=config.stage1.options,
    )
    evaluations = yield from search(
        searcher,
        TrialEvaluator(runner, "stage1", partial(stage1_spec, config)),
        budget=config.stage1.iterations,
        pending=config.stage1.pending,
        known=uniform,
    )
    costs |= {each.assignment: each.outcome.cost for each in evaluations if each.outcome.cost is not None}
    if not costs:
        raise NoValidTrialError(
            "Stage 1 spent its budget without a valid trial: see trials/*/log.txt; a lower `train.lr` or other "
            "`stage1.operators` may help."
        )
    best = yield from _confirm(config, costs, best_single, runner, observer)
    return Stage1(best_single, best, costs[best])


def _confirm(
    config: Config,
    costs: Mapping[Assignment, float],
    best_single: Assignment | None,
    runner: Runner,
    observer: Observer,
) -> Strand[Assignment]:
    """Return the best assignment after training the finalists for as long as the rows of the report are trained.

    A few epochs rank assignments roughly: among many, the first is partly lucky. The best single operator is always
    a finalist, so that the search falls behind it only where its finalists do.
    """
    ranked = sorted(costs, key=lambda assignment: costs[assignment])
    finalists = ranked[: config.stage1.finalists]
    if len(finalists) < 2:
        return ranked[0]
    if best_single is not None and best_single not in finalists:
        finalists[-1] = best_single
    observer.phase("stage 1, finalists", len(finalists))
    outcomes = yield from runner.results("finalists", [finalist_spec(config, assignment) for assignment in finalists])
    confirmed = _costs(finalists, outcomes)
    return min(confirmed, key=lambda assignment: confirmed[assignment], default=ranked[0])


def stage1_spec(config: Config, assignment: Assignment) -> TrialSpec:
    """Return the trial that evaluates an assignment in stage 1."""
    return TrialSpec(
        network="pruned",
        assignment=assignment,
        protocol=replace(config.train, epochs=config.stage1.epochs),
        study_seed=config.seed,
        cost=config.stage1.fitness,
        folds=0 if config.stage1.fitness == "train_loss" else 5,
    )


def finalist_spec(config: Config, assignment: Assignment) -> TrialSpec:
    """Return the trial that confirms an assignment: by training loss, it is the one of the report's first seed too."""
    spec = replace(stage1_spec(config, assignment), protocol=config.train)
    return replace(spec, keep=not spec.folds)


def _costs(assignments: Sequence[Assignment], outcomes: Sequence[TrialOutcome]) -> dict[Assignment, float]:
    pairs = zip(assignments, outcomes, strict=True)
    return {assignment: outcome.cost for assignment, outcome in pairs if outcome.cost is not None}
