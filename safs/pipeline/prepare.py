"""Step 0: from a config to the problem: a pruned network with its mask, and the training data."""

from __future__ import annotations

import copy
import importlib.util
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from safs.checkpoints import load_into
from safs.config.schema import Config
from safs.data.dataset import Data
from safs.data.registry import check_files, load
from safs.data.splits import folds
from safs.engines.base import Engine
from safs.masks import Mask, apply_mask, prunable_weights
from safs.models.registry import make_model
from safs.pruning import prune
from safs.run_directory import log_path
from safs.runner import Runner, network_path
from safs.sites import find_sites
from safs.spec import TrialSpec
from safs.trial import Problem
from spaces.errors import SafsError


@dataclass(frozen=True)
class Prepared:
    """A study's starting point.

    Attributes:
        problem: the pruned network, its mask and the training data.
        dense: the network's state dict before pruning, or None if the checkpoint was pruned already.
    """

    problem: Problem
    dense: dict[str, Tensor] | None


def untrained(config: Config) -> Problem:
    """Return the network of a config as it is initialised, with the training data, after checking that they fit.

    Raises:
        SafsError: if the network has no activation site or does not return one logit per class, if the checkpoint
            cannot be loaded or is not what the config makes of it, or if there are too few examples for the folds.
    """
    device = pick_device(config.resources.device)
    if importlib.util.find_spec("smac") is None:
        raise SafsError("Stage 2 needs the package smac, which is not installed: pip install smac.")
    check_files(config.data.name, "test", root=config.data.root)
    data = load(config.data.name, "train", root=config.data.root, device=device)
    model = make_model(config.model.name, config.model.kwargs, seed=config.seed).to(device)
    sites = find_sites(model, tuple(data.images.shape[1:]))
    if not len(sites):
        raise SafsError(f"{config.model.name} has no activation site, so there is nothing to search.")
    _check_logits(model, data, config)
    if config.model.checkpoint is not None:
        _load_checkpoint(config, copy.deepcopy(model))
    if config.prune is not None and not prunable_weights(model):
        raise SafsError(f"{config.model.name} has no linear or convolution layer, so there is nothing to prune.")
    folds(data.labels, config.stage2.folds, config.seed)
    return Problem(model=model, mask={}, sites=sites, data=data, threads=config.resources.threads)


def prepare(config: Config, initial: Problem, engine: Engine, runner: Runner) -> Prepared:
    """Load or train the dense network, prune it, and make the pruned problem known to the engine."""
    engine.add_problem("dense", initial)
    model = copy.deepcopy(initial.model)
    mask = _load_weights(config, initial, model, runner)
    dense = None
    if mask is None:
        dense = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        assert config.prune is not None, "a dense network whose config does not prune it was refused before"
        mask = prune(model, config.prune.ratio, method=config.prune.method, scope=config.prune.scope)
    apply_mask(model, mask)
    # Sites are found again: a PReLU's slopes are part of its site, and come from the checkpoint.
    sites = find_sites(model, tuple(initial.data.images.shape[1:]))
    problem = Problem(model=model, mask=mask, sites=sites, data=initial.data, threads=initial.threads)
    engine.add_problem("pruned", problem)
    return Prepared(problem, dense)


def pick_device(name: str) -> torch.device:
    """Return the device that a config asks for; SafsError if it asks for a GPU and there is none."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise SafsError("`resources.device: cuda` needs a GPU, and PyTorch finds none; use auto or cpu.")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and available) else "cpu")


def _check_logits(model: nn.Module, data: Data, config: Config) -> None:
    with torch.no_grad():
        logits: Any = copy.deepcopy(model).eval()(data.images[:2])
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (2, data.classes):
        got = tuple(logits.shape[1:]) if isinstance(logits, Tensor) else type(logits).__name__
        raise SafsError(
            f"{config.model.name} must return one logit for each of the {data.classes} classes of "
            f"{config.data.name}, but returns {got}; set `model.kwargs` accordingly."
        )


def _load_weights(config: Config, initial: Problem, model: nn.Module, runner: Runner) -> Mask | None:
    """Fill the network with its dense or pruned weights, and return its mask if it is pruned."""
    if config.model.checkpoint is not None:
        return _load_checkpoint(config, model)
    assert config.model.pretrain is not None, "the config has a checkpoint or a protocol to train one"
    spec = TrialSpec(
        network="dense",
        assignment=initial.sites.original,
        protocol=config.model.pretrain,
        study_seed=config.seed,
        keep=True,
    )
    (outcome,) = runner.run("dense", [spec], retry=True)
    if outcome.cost is None:
        cause = (outcome.traceback or "").strip().splitlines()[-1:]
        raise SafsError(
            f"Training the dense network failed ({outcome.reason}: {''.join(cause)}); "
            f"see {log_path(runner.folder, spec)}, and mend the network or `model.pretrain`."
        )
    model.load_state_dict(load_file(network_path(runner.folder, spec)))
    return None


def _load_checkpoint(config: Config, model: nn.Module) -> Mask | None:
    """Load the checkpoint of a config into a network, and return its mask, or None if it is to be pruned."""
    path = config.model.checkpoint
    assert path is not None, "the config has a checkpoint"
    mask = load_into(model, path, trust_pickle=config.model.trust_pickle)
    if mask is None and config.prune is None:
        raise SafsError(
            f"The checkpoint {path} is dense (fewer than 1 % of its weights are zero), and the config does not prune "
            "it; set `prune.ratio`."
        )
    if mask is not None and config.prune is not None:
        raise SafsError(
            f"The checkpoint {path} is pruned already; set `prune: null` (--set prune=null) to keep its mask."
        )
    return mask
