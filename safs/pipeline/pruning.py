"""Step 0, second half: prune the dense network of a study."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from safetensors.torch import load_file
from torch import Tensor, nn

from safs.config.schema import Config
from safs.engines.base import Engine
from safs.masks import Mask
from safs.observer import Observer
from safs.pipeline.trainer import TrialTrainer
from safs.protocol import Protocol
from safs.pruning import prune
from safs.pruning.imp import IterativeMagnitude
from safs.pruning.registry import make_method
from safs.runner import Runner, network_path
from safs.spec import TrialSpec
from safs.trial import Problem, computing
from spaces.errors import SafsError


def check_pruning(config: Config) -> None:
    """Raise SafsError if a config's pruning method does not go with how its network is trained."""
    method = _iterative(config)
    if method is not None:
        method.check_epochs(_protocol(config).epochs)


def prune_dense(
    config: Config, initial: Problem, model: nn.Module, engine: Engine, runner: Runner, observer: Observer
) -> Mask:
    """Return the mask of a study's pruned network, whose masked weights are still to be set to zero.

    Methods see the training data and never the test data. A method that trains (imp) starts from the network as it
    is initialised, or from the checkpoint; `model` has the weights it rewinds to afterwards. Every training is a
    trial, which the journal answers if it is known; the first is that of the dense network.
    """
    assert config.prune is not None, "a dense network whose config does not prune it was refused before"
    method = _iterative(config)
    trainer = None
    if method is not None:
        if config.model.pretrain is not None:
            model.load_state_dict(initial.model.state_dict())
        observer.phase("pruning", method.trainings)
        trainer = TrialTrainer(initial, _protocol(config), config.seed, partial(_run, engine, runner))
    with computing(initial):
        return prune(
            model,
            config.prune.ratio,
            method=config.prune.method,
            scope=config.prune.scope,
            options=config.prune.options,
            seed=config.seed,
            data=initial.data,
            input_shape=initial.data.shape,
            train=trainer,
        )


def _iterative(config: Config) -> IterativeMagnitude | None:
    """Return the pruning method of a config if it is one that trains the network."""
    if config.prune is None:
        return None
    method = make_method(config.prune.method, config.prune.options)
    return method if isinstance(method, IterativeMagnitude) else None


def _protocol(config: Config) -> Protocol:
    return config.model.pretrain or config.train


def _run(engine: Engine, runner: Runner, spec: TrialSpec, problem: Problem) -> Mapping[str, Tensor]:
    """Return the state dict that a trial trains, run by the study's runner."""
    engine.add_problem(spec.network, problem)
    (outcome,) = runner.run("prune", [spec], retry=True)
    if outcome.cost is None:
        raise SafsError(
            f"Training the network {spec.network!r} for pruning failed ({outcome.reason}); change `model.pretrain`, or "
            "`train` where there is a checkpoint."
        )
    return load_file(network_path(runner.folder, spec))
