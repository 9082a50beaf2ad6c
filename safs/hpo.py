"""SMAC by ask and tell over the stage-2 space. The files that it writes are thrown away: our journal is the truth."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safs.files import temporary_folder
from safs.protocol import Protocol
from spaces.hyperparameters import hyperparameter_space

if TYPE_CHECKING:
    from pathlib import Path

    from ConfigSpace import Configuration, ConfigurationSpace
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.acquisition.maximizer import LocalAndSortedRandomSearch
    from smac.model.random_forest import RandomForest
    from smac.runhistory import TrialInfo

_WORST = 1.0
"""The highest error there is: what a failed trial counts as for SMAC, and nowhere else."""


@dataclass(frozen=True)
class Proposal:
    """Hyperparameters to try, and what SMAC knows them by."""

    hyperparameters: dict[str, Any]
    trial: TrialInfo


class SmacSearch:
    """Proposes stage-2 hyperparameters and learns from their costs.

    The first proposals are a Sobol design (a quarter of the budget), the vanilla protocol, moved into the space
    where it lies outside, and the space's default; the rest is SMAC's Bayesian optimisation with a random forest.
    """

    def __init__(self, facade: HyperparameterOptimizationFacade) -> None:
        self._facade = facade

    def ask(self) -> Proposal | None:
        """Return hyperparameters to try, or None if the space is exhausted; several may wait for their costs."""
        try:
            trial = self._facade.ask()
        except StopIteration:
            return None
        values = dict(trial.config)
        numbers = {name: str(value) if isinstance(value, str) else float(value) for name, value in values.items()}
        return Proposal(numbers, trial)

    def tell(self, proposal: Proposal, cost: float | None) -> None:
        """Report the cost of a proposal, or None if it failed."""
        from smac.runhistory import StatusType, TrialValue

        # Not infinity, which its model of the costs cannot take.
        crashed = TrialValue(cost=_WORST, status=StatusType.CRASHED)
        self._facade.tell(proposal.trial, crashed if cost is None else TrialValue(cost=cost))


@contextlib.contextmanager
def smac_search(seed: int, trials: int, vanilla: Protocol, folder: Path) -> Iterator[SmacSearch]:
    """Give a search of at most `trials` proposals. What SMAC writes is in `folder` until the end, then gone."""
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.initial_design import SobolInitialDesign

    space = hyperparameter_space(seed)
    with temporary_folder(folder / "smac") as temporary:
        scenario = Scenario(
            space,
            output_directory=temporary,
            deterministic=True,
            n_trials=trials,
            seed=seed,
            crash_cost=_WORST,
        )
        known = dict.fromkeys([_nearest_configuration(space, vanilla), space.get_default_configuration()])
        design = SobolInitialDesign(
            scenario,
            n_configs=min(trials // 4, trials - len(known)) if trials > len(known) else 0,
            max_ratio=1.0,
            additional_configs=list(known)[:trials],
        )
        facade = HyperparameterOptimizationFacade(
            scenario,
            _never_called,
            initial_design=design,
            model=_forest(scenario),
            intensifier=HyperparameterOptimizationFacade.get_intensifier(scenario, max_config_calls=1),
            acquisition_maximizer=_in_fixed_order(HyperparameterOptimizationFacade.get_acquisition_maximizer(scenario)),
            config_selector=HyperparameterOptimizationFacade.get_config_selector(scenario, retrain_after=1),
            logging_level=False,
            overwrite=True,
        )
        yield SmacSearch(facade)


def _forest(scenario: Scenario) -> RandomForest:
    """Return the facade's own model, which no longer clears 100 MB for each tree: none has a million leaves."""
    from smac.model.random_forest import RandomForest

    return RandomForest(
        scenario.configspace,
        log_y=True,
        ratio_features=1.0,
        min_samples_split=2,
        min_samples_leaf=1,
        max_leaf_nodes=max(2, scenario.n_trials),
        seed=scenario.seed,
        n_jobs=1,
    )


def _in_fixed_order(maximizer: LocalAndSortedRandomSearch) -> LocalAndSortedRandomSearch:
    """Let SMAC's local searches start in an order that is the same in every process (invariant 4).

    It takes their starting points from a set, and the order of a set changes with the hash seed of the process: a
    resumed study would get other proposals than the one that was interrupted.
    """
    local: Any = maximizer._local_search
    starting_points = local._get_init_points_from_previous_configs

    def sorted_points(*arguments: Any) -> list[Configuration]:
        return sorted(starting_points(*arguments), key=lambda configuration: configuration.get_array().tobytes())

    local._get_init_points_from_previous_configs = sorted_points
    return maximizer


def _never_called(config: Configuration, seed: int = 0) -> float:
    raise AssertionError("trials are run by the engine, not by SMAC")


def _nearest_configuration(space: ConfigurationSpace, protocol: Protocol) -> Configuration:
    """Return the configuration of a protocol, each number moved to the nearest that its range allows."""
    from ConfigSpace import Configuration, UniformFloatHyperparameter

    values: Mapping[str, Any] = protocol.to_json()
    chosen: dict[str, Any] = {"optimizer": protocol.optimizer, "schedule": protocol.schedule}
    for name, hyperparameter in space.items():
        if isinstance(hyperparameter, UniformFloatHyperparameter) and _active(space, name, chosen):
            chosen[name] = min(max(values[name], hyperparameter.lower), hyperparameter.upper)
    return Configuration(space, values=chosen)


def _active(space: ConfigurationSpace, name: str, chosen: Mapping[str, Any]) -> bool:
    return all(condition.satisfied_by_value(dict(chosen)) for condition in space.parent_conditions_of[name])
