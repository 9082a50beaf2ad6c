"""The tree-structured Parzen estimator of Optuna (Bergstra et al. 2011; Akiba et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from searchers.base import Outcome, Searcher, Suggestion, checked_integer
from spaces.assignment import Assignment, AssignmentSpace

_ASKS = 16
"""How often Optuna is asked, each time with another seed, before a random unseen assignment is proposed."""


class TreeParzenEstimator(Searcher):
    """Ask Optuna's sampler, which sees every outcome that has been applied; pending suggestions count as bad.

    Each ask gives a new sampler, whose seed this searcher draws, the whole record: nothing is kept in Optuna. A failed
    assignment counts as much as the worst that did not fail.

    Args:
        space: the assignments to choose from.
        seed: non-negative integer, the only source of randomness.
        start: assignments to propose first, in this order; repetitions are dropped.
        startup: how many outcomes there must be before the sampler is asked; until then assignments are random.

    Raises:
        SafsError: if the seed, a start point or an option is not valid.
    """

    name = "tpe"

    def __init__(
        self, space: AssignmentSpace, seed: int, *, start: Sequence[Assignment] = (), startup: int = 5
    ) -> None:
        super().__init__(space, seed, start=start)
        self._startup = checked_integer("startup", startup, minimum=1)

    def _ask(self) -> Assignment:
        costs = [self._outcomes[id].cost for id in range(self._applied)]
        worst = max((cost for cost in costs if cost is not None), default=None)
        if worst is None or self._applied < self._startup:
            return self._sample_unseen()
        with _quiet():
            for _ in range(_ASKS):
                assignment = self._sample([worst if cost is None else cost for cost in costs])
                if assignment not in self._ids:
                    return assignment
        return self._sample_unseen()

    def _sample(self, costs: Sequence[float]) -> Assignment:
        import optuna
        from optuna.trial import TrialState, create_trial

        seed = int(self._rng.integers(2**31))
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=0, multivariate=True, constant_liar=True)
        study = optuna.create_study(sampler=sampler)
        distributions = self._space.to_optuna()
        for id, assignment in enumerate(self._suggestions):
            told = (
                {"value": costs[id], "state": TrialState.COMPLETE} if id < len(costs) else {"state": TrialState.RUNNING}
            )
            params = dict(zip(self._space.sites, assignment, strict=True))
            study.add_trial(create_trial(params=params, distributions=distributions, **told))
        return self._space.from_values(study.ask(distributions).params)

    def _tell(self, suggestion: Suggestion, outcome: Outcome) -> None:
        """Learn nothing beyond the record, which the sampler is given."""

    def _options(self) -> dict[str, Any]:
        return {"startup": self._startup}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from announcing its studies and from warning that what is asked of it is experimental."""
    import warnings

    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
