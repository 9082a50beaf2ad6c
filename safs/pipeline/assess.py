"""Step 4, the last one: read the test data, once, and score every row on it (invariant 2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from safs.config.schema import Config
from safs.data.dataset import Data
from safs.journal import Journal
from safs.masks import violations
from safs.observer import Observer
from safs.pipeline.data import load_test
from safs.pipeline.prepare import Prepared
from safs.runner import network_path
from safs.spec import TrialSpec
from safs.state import load_state
from safs.surgery import apply_assignment
from safs.training import evaluate
from safs.trial import Problem
from spaces.errors import SafsError

Scores = dict[str, list[dict[str, Any]]]
"""For each row, the test scores of its seeds: `seed`, `accuracy` in [0, 1], `loss` in nats."""


def assess(
    config: Config,
    prepared: Prepared,
    rows: Mapping[str, list[TrialSpec]],
    journal: Journal,
    folder: Path,
    observer: Observer,
) -> Scores:
    """Return the test scores of every row, and journal them; a study that is resumed later reads them from there."""
    for record in journal.records:
        if record["kind"] == "test":
            return _read_scores(record)
    observer.phase("test", 0)
    problem = prepared.problem
    threads = torch.get_num_threads()
    torch.set_num_threads(problem.threads)
    try:
        test = load_test(config.data, problem.data)
        scores = _score_rows(config, prepared, rows, folder, test)
    finally:
        torch.set_num_threads(threads)
    journal.append({"kind": "test", "data": test.fingerprint(), "scores": scores})
    return scores


def _read_scores(record: Mapping[str, Any]) -> Scores:
    try:
        return {
            name: [{"seed": int(s["seed"]), "accuracy": float(s["accuracy"]), "loss": float(s["loss"])} for s in row]
            for name, row in record["scores"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SafsError(
            f"The journal's record of the test is damaged ({type(error).__name__}: {error}); restore the file."
        ) from error


def _score_rows(
    config: Config, prepared: Prepared, rows: Mapping[str, list[TrialSpec]], folder: Path, test: Data
) -> Scores:
    problem = prepared.problem

    def score(networks: Iterable[tuple[int, nn.Module]]) -> list[dict[str, float]]:
        results = [(seed, evaluate(network, test)) for seed, network in networks]
        # A network whose outputs are not finite has no accuracy, whatever their argmax is: its seed has failed.
        return [
            {"seed": seed, "accuracy": result.accuracy, "loss": result.loss}
            for seed, result in results
            if math.isfinite(result.loss)
        ]

    scores: Scores = {}
    if prepared.dense is not None:
        network = apply_assignment(problem.model, problem.sites.original, sites=problem.sites)
        load_state(network, prepared.dense)
        scores["dense"] = score([(config.seed, network)])
    scores["pruned"] = score([(config.seed, problem.model)])
    for name, specs in rows.items():
        trained = [(spec, network_path(folder, spec)) for spec in specs if network_path(folder, spec).exists()]
        scores[name] = score((spec.study_seed, load_trained(problem, spec, load_file(path))) for spec, path in trained)
    return scores


def load_trained(problem: Problem, spec: TrialSpec, state: Mapping[str, Tensor]) -> nn.Module:
    """Return the network that a trial trained, from its state dict, after checking that its masks held."""
    broken = violations(state, problem.mask)
    assert not broken, f"masked weights of {broken} are not zero after training"
    network = apply_assignment(
        problem.model, spec.assignment, sites=problem.sites, learn=spec.learn, per_channel=spec.per_channel
    )
    load_state(network, state)
    network.to(problem.data.device)
    return network
