"""Step 0: from a config to the problem: a pruned network with its mask, and the training data."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from safs.checkpoints import Loaded
from safs.config.schema import Config
from safs.config.section import concerning
from safs.data.splits import folds
from safs.device import pick_device
from safs.engines.base import Engine
from safs.masks import Mask, apply_mask, prunable_weights
from safs.models.registry import make_model
from safs.observer import Observer
from safs.pipeline.data import check_test, load_train
from safs.pipeline.pruning import check_pruning, prune_dense
from safs.pipeline.start import Start
from safs.plain import make_plain
from safs.run_directory import log_path
from safs.runner import Runner, network_path
from safs.sites import Sites, find_sites
from safs.spec import TrialSpec
from safs.state import load_state
from safs.trial import Problem
from spaces.errors import SafsError


@dataclass(frozen=True)
class Prepared:
    """A study's starting point.

    Attributes:
        problem: the pruned network, its mask and the training data.
        dense: the network's state dict before pruning, or None if the checkpoint was pruned already.
        loaded: what came of the checkpoint, or None if the network was trained here.
    """

    problem: Problem
    dense: dict[str, Tensor] | None
    loaded: Loaded | None


def untrained(config: Config, device: str | None = None) -> Problem:
    """Return the network of a config as it is initialised, with the training data, after checking that they fit.

    Args:
        config: of the study.
        device: where they are to be; the config says it otherwise.

    Raises:
        SafsError: if the network has no activation site, has weights that cannot be trained as they are, or does not
            return one logit per class, or if there are too few examples for the folds.
    """
    with concerning("resources.device"):
        place = pick_device(device or config.resources.own_device)
    with concerning("data"):
        check_test(config.data)
        data = load_train(config.data, place)
    with concerning("model"):
        model = make_plain(make_model(config.model.name, config.model.kwargs, seed=config.seed)).to(place)
        sites = find_sites(model, data.shape)
        if not len(sites):
            raise SafsError(f"{config.model.name} has no activation site, so there is nothing to search.")
        _check_weights(model, config.model.name)
        if config.prune is not None and not prunable_weights(model):
            raise SafsError(f"{config.model.name} has no linear or convolution layer, so there is nothing to prune.")
        problem = Problem(model=model, mask={}, sites=sites, data=data, threads=config.resources.threads)
        problem.check_logits(config.model.name)
    with concerning("prune"):
        check_pruning(config)
    with concerning("stage2.folds"):
        folds(data.labels, config.stage2.folds, config.seed)
    return problem


def prepare(
    config: Config, initial: Problem, start: Start | None, engine: Engine, runner: Runner, observer: Observer
) -> Prepared:
    """Load or train the dense network, prune it, and make the pruned problem known to the engine."""
    engine.add_problem("dense", initial)
    model = copy.deepcopy(initial.model)
    mask = _fill(config, initial, start, model, runner)
    dense = None
    if mask is None:
        dense = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        mask = prune_dense(config, initial, model, engine, runner, observer)
    apply_mask(model, mask)
    # Sites are found again: a PReLU's slopes are part of its site, and come from the checkpoint.
    sites = find_sites(model, initial.data.shape)
    problem = Problem(model=model, mask=mask, sites=sites, data=initial.data, threads=initial.threads)
    engine.add_problem("pruned", problem)
    return Prepared(problem, dense, start.loaded if start else None)


def _check_weights(model: nn.Module, name: str) -> None:
    for path, parameter in model.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise SafsError(f"{name}: {path!r} has no shape yet; give its layer (a lazy one) its sizes in the factory.")
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            kind = str(parameter.dtype).removeprefix("torch.")
            raise SafsError(f"{name}: {path!r} is {kind}, but SAFS trains in float32; call .float() in the factory.")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise SafsError(f"{name} has no weight that is trained: none requires a gradient; call .requires_grad_().")


def _fill(config: Config, initial: Problem, start: Start | None, model: nn.Module, runner: Runner) -> Mask | None:
    """Fill the network with its dense or pruned weights, and return its mask if it is pruned."""
    if start is not None:
        load_state(model, start.state)
        return start.loaded.mask
    spec = dense_spec(config, initial.sites)
    (outcome,) = runner.run("dense", [spec], retry=True)
    if outcome.cost is None:
        cause = (outcome.traceback or "").strip().splitlines()[-1:]
        raise SafsError(
            f"Training the dense network failed ({outcome.reason}: {''.join(cause)}); "
            f"see {log_path(runner.folder, spec)}, and mend the network or `model.pretrain`."
        )
    load_state(model, load_file(network_path(runner.folder, spec)))
    return None


def dense_spec(config: Config, sites: Sites) -> TrialSpec:
    """Return the trial that trains the dense network."""
    assert config.model.pretrain is not None, "the config has a checkpoint or a protocol to train one"
    return TrialSpec(
        network="dense",
        assignment=sites.original,
        protocol=config.model.pretrain,
        study_seed=config.seed,
        keep=True,
    )
