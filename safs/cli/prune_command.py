"""`safs prune`: from a dense checkpoint to a pruned one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safs.cli.options import (
    InputOption,
    KwargOption,
    MinZeroShareOption,
    ModelArgument,
    TrustPickleOption,
    parse_kwargs,
    parse_shape,
)
from safs.interrupts import raising
from spaces.errors import SafsError, nearest_name

if TYPE_CHECKING:
    from torch import Tensor, nn

    from safs.data.dataset import Data
    from safs.masks import Mask
    from safs.observer import Observer
    from safs.protocol import Protocol
    from safs.spec import TrialSpec
    from safs.trial import Problem


def prune_checkpoint(
    model: ModelArgument,
    checkpoint: Annotated[Path, typer.Option(help="The dense checkpoint.")],
    out: Annotated[Path, typer.Option(help="Where the pruned one goes: .pt or .safetensors.")],
    ratio: Annotated[float, typer.Option(help="The share of weights to remove, in [0, 1).")] = 0.99,
    method: Annotated[str, typer.Option(help="magnitude, random, erk, snip, synflow or imp.")] = "magnitude",
    scope: Annotated[
        str | None, typer.Option(help="layer or global; for magnitude and random only [default: layer].")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An option of the method, such as rounds=5; may be repeated."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="The training data of snip and imp: a name, such as mnist, or a config's `data` as YAML."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seeds what is drawn: weights of random, examples of snip and imp.")
    ] = 0,
    epochs: Annotated[int | None, typer.Option(help="The epochs of each training of imp.")] = None,
    train: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A value of imp's training, such as lr=0.01; may be repeated."),
    ] = None,
    input_shape: InputOption = None,
    kwarg: KwargOption = None,
    trust_pickle: TrustPickleOption = False,
    min_zero_share: MinZeroShareOption = 0.01,
) -> None:
    """Prune a dense checkpoint and write the weights with their mask.

    magnitude, random, erk and synflow look at the network alone; snip at the gradients of training data as well; imp
    trains the network again and again, and writes the early weights that it rewinds to.
    """
    shape = parse_shape(input_shape)
    if os.path.lexists(out):
        raise SafsError(f"{out} exists already and is left as it is; name another file with --out.")
    from safs.checkpoints import load_into, save_checkpoint
    from safs.describe import describe
    from safs.files import temporary_folder
    from safs.masks import apply_mask
    from safs.models.registry import make_model, usual_input_shape
    from safs.pruning.imp import IterativeMagnitude
    from safs.pruning.registry import make_method, resolve_scope
    from safs.sites import find_sites
    from safs.storage import storing

    options = parse_kwargs(option, "--option", "rounds=5")
    chosen = make_method(method, options)
    resolve_scope(method, scope)
    protocol = _protocol(method, epochs, train)
    if isinstance(chosen, IterativeMagnitude) and protocol is not None:
        chosen.check_epochs(protocol.epochs)
    examples = _training_data(method, data)
    kwargs = parse_kwargs(kwarg)
    network = make_model(model, kwargs, seed=0)
    if load_into(network, checkpoint, trust_pickle=trust_pickle, min_zero_share=min_zero_share) is not None:
        raise SafsError(
            f"The checkpoint {checkpoint} is pruned already; give a dense one, or raise --min-zero-share if its zeros "
            "are none of pruning."
        )
    shape = shape or usual_input_shape(model, kwargs) or (examples.shape if examples else None)
    with storing(out), temporary_folder(out):
        pass  # it can be written to: known before hours of training
    with raising():
        how = {"method": method, "scope": scope, "options": options, "seed": seed}
        mask = _mask(network, ratio, how, shape, examples, protocol)
    apply_mask(network, mask)
    described = describe(model, network, find_sites(network, shape), mask, shape)
    with raising(), storing(out):
        save_checkpoint(out, network, mask)
    kept = described["mask"]
    typer.echo(f"{out}: {kept['nonzero']:,} of {kept['total']:,} weights kept, sparsity {100 * kept['sparsity']:.2f} %")
    for warning in described["warnings"]:
        typer.echo(f"Warning: {warning}", err=True)


def _protocol(method: str, epochs: int | None, values: list[str] | None) -> Protocol | None:
    """Return how a method trains the network, or None if it does not."""
    from safs.protocol import Protocol
    from safs.pruning import METHODS

    if "train" not in METHODS[method].needs:
        if epochs is not None or values:
            raise SafsError(f"Pruning method {method!r} trains nothing; leave out --epochs and --train.")
        return None
    if epochs is None:
        raise SafsError(f"Pruning method {method!r} trains the network; say for how long with --epochs.")
    chosen = parse_kwargs(values, "--train", "lr=0.01")
    known = [field.name for field in dataclasses.fields(Protocol) if field.name != "epochs"]
    for key in chosen:
        if key not in known:
            nearest = nearest_name(key, known)
            hint = f" did you mean {nearest!r}?" if nearest else ""
            raise SafsError(f"Unknown key {key!r} in --train;{hint} known: {', '.join(known)}.")
    try:
        return Protocol(epochs=epochs, **chosen)
    except (TypeError, ValueError) as error:  # a value that is no number
        raise SafsError(f"A value of --train does not fit: {error}.") from error


def _training_data(method: str, text: str | None) -> Data | None:
    """Return the training examples of a method, on the GPU if there is one, or None if it reads none."""
    from safs.config.schema import DataConfig
    from safs.config.yaml_input import named, parse_yaml
    from safs.device import pick_device
    from safs.pipeline.data import load_train
    from safs.pruning import METHODS

    if not {"data", "train"} & {*METHODS[method].needs}:
        if text is not None:
            raise SafsError(f"Pruning method {method!r} reads no data; leave out --data.")
        return None
    if text is None:
        raise SafsError(f"Pruning method {method!r} needs training data; name them with --data, such as --data mnist.")
    config = DataConfig.from_mapping(named(parse_yaml(text, "The value of --data")))
    return load_train(config, pick_device("auto"))


def _mask(
    network: nn.Module,
    ratio: float,
    how: Mapping[str, Any],
    shape: tuple[int, ...] | None,
    examples: Data | None,
    protocol: Protocol | None,
) -> Mask:
    """Return the mask of a network on the CPU, and rewind the network if the method does."""
    from safs.pruning import prune

    if protocol is None or examples is None:
        return prune(network, ratio, **how, data=examples, input_shape=shape)
    import torch

    from safs.cli.progress import progress
    from safs.pipeline.trainer import TrialTrainer
    from safs.pruning.imp import IterativeMagnitude
    from safs.sites import find_sites
    from safs.trial import Problem

    network.to(examples.device)
    sites = find_sites(network, examples.shape)
    initial = Problem(model=network, mask={}, sites=sites, data=examples, threads=torch.get_num_threads())
    initial.check_logits(type(network).__name__)
    with progress() as observer:
        observer.phase("pruning", IterativeMagnitude(**how["options"]).trainings)
        trainer = TrialTrainer(initial, protocol, how["seed"], partial(_train, observer))
        mask = prune(network, ratio, **how, train=trainer)
    network.cpu()
    return {name: kept.cpu() for name, kept in mask.items()}


def _train(observer: Observer, spec: TrialSpec, problem: Problem) -> Mapping[str, Tensor]:
    """Return the state dict that a trial trains."""
    from safs.trial import run_trial

    outcome, trained = run_trial(spec, problem)
    observer.trial("pruning", spec, outcome, cached=False)
    if trained is None:
        cause = (outcome.traceback or "").strip().splitlines()[-1:]
        raise SafsError(f"Training the network {spec.network!r} failed: {' '.join(cause)}; change --train.")
    return trained
