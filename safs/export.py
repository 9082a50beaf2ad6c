"""`best/`, and the one file that `safs export` writes: the found network, to be loaded without a study."""

from __future__ import annotations

import copy
import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from safs.checkpoints import check_fits
from safs.files import to_json, write_atomically
from safs.masks import Mask, check_mask, violations
from safs.models.registry import make_model
from safs.plain import make_plain
from safs.sites import Site, Sites, find_sites
from safs.state import load_state
from safs.surgery import ACTIVATIONS, SiteChoice, apply_assignment
from safs.tracing import check_tensors
from safs.trial import Problem
from safs.wrappers import unwrap
from spaces.activation import Value
from spaces.errors import SafsError

T = TypeVar("T")

SCHEMA = 1
METADATA = "safs"
"""The key, in the header of a file of `safs export`, of what `activations.json` holds."""
_BEST = "the `best` folder of a finished study"
_LARGEST_SIZE, _LARGEST_INPUT = 2**20, 2**28  # what a damaged file must not make us allocate
_LARGEST_NUMBER = torch.finfo(torch.float32).max


def write_best(
    folder: Path, problem: Problem, state: Mapping[str, Tensor], choices: list[SiteChoice], model: Mapping[str, Any]
) -> None:
    """Write `model.safetensors`, `mask.safetensors` and `activations.json` to a folder.

    `model.safetensors` has exactly the names of the user's own network; what stands at each site, with its
    learned α, β and constants, is in `activations.json`.

    Args:
        folder: where to.
        problem: what the network was searched for.
        state: the state dict of the trained network.
        choices: what stands at each of its sites.
        model: the network's `name` and `kwargs`, by which `load_best` builds it.
    """
    own = {name: tensor for name, tensor in state.items() if not name.startswith(f"{ACTIVATIONS}.")}
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in own.items()}
    for name, kept in problem.mask.items():
        weights[name] = torch.where(kept.cpu(), weights[name], torch.zeros_like(weights[name]))  # no −0.0 either
    activations = describe_activations(problem.sites, choices, model, tuple(problem.data.shape))
    write_atomically(folder / "model.safetensors", save(weights))
    masks = {name: kept.cpu().contiguous() for name, kept in problem.mask.items()}
    write_atomically(folder / "mask.safetensors", save(masks))
    write_atomically(folder / "activations.json", to_json(activations))


@dataclass(frozen=True)
class Best:
    """A found network as `best/` holds it.

    Attributes:
        model: the network of the user's own class, with the weights that were found.
        network: the same with its activations, ready for inference.
        sites: its activation sites.
        mask: which of its weights are masked.
        input_shape: the shape of one example.
    """

    model: nn.Module
    network: nn.Module
    sites: Sites
    mask: Mask
    input_shape: tuple[int, ...]


def load_best(folder: Path | str, model: nn.Module | None = None) -> nn.Module:
    """Return the network that a study found, ready for inference, from its `best/` folder.

    Args:
        folder: the folder with the three files.
        model: an instance of the network that was searched; it is not changed. By default it is built by its name,
            if that is one of SAFS's or torchvision's: a folder from elsewhere is never asked what to import and run.

    Raises:
        SafsError: if a file is missing or damaged, the network is another one, or a masked weight is not zero.
    """
    return read_best(folder, model).network


def read_best(folder: Path | str, model: nn.Module | None = None) -> Best:
    """Return what `load_best` does, with what it is made of."""
    folder = Path(folder)
    activations = _read_activations(folder / "activations.json")
    weights, mask = (_read_tensors(folder / f"{name}.safetensors", _BEST) for name in ("model", "mask"))
    own, sites = _fill(folder, "load_best(folder, model)", activations, model, weights, folder / "model.safetensors")
    checked = check_mask(mask, own)
    broken = violations(weights, checked)
    if broken:
        raise SafsError(f"{folder}: masked weights of {broken[0]!r} are not zero.")
    network = apply_assignment(own, activations.choices, sites=sites).eval()
    return Best(own, network, sites, checked, activations.input_shape)


def load_exported(path: Path | str, model: nn.Module | None = None) -> nn.Module:
    """Return the network in a file that `safs export --format safetensors` wrote, ready for inference.

    Args:
        path: the file.
        model: an instance of the network that was searched; it is not changed. By default it is built by its name,
            as for `load_best`.

    Raises:
        SafsError: if the file is missing, damaged or none of SAFS's, or the network is another one.
    """
    path = Path(path)
    weights = _read_tensors(path, "a file that safs export wrote")
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(METADATA)
    if text is None:
        raise SafsError(f"{path} does not say what stands at the activation sites; give a file that safs export wrote.")
    activations = _parse_activations(text, path)
    own, sites = _fill(path, "load_exported(path, model)", activations, model, weights, path)
    return apply_assignment(own, activations.choices, sites=sites).eval()


def _fill(
    source: Path, call: str, activations: _Activations, model: nn.Module | None, weights: dict[str, Tensor], path: Path
) -> tuple[nn.Module, Sites]:
    """Return the network of the user's own class, filled with weights, and its sites.

    Args:
        source, path: where the activations, and the weights, come from.
        call: how to pass a network that is not built by its name.
    """
    model = _plain_copy(model) if model is not None else _make_model(source, call, activations)
    check_fits(weights, model, path)
    load_state(model, weights, strict=False)
    sites = find_sites(model, activations.input_shape)
    if sites.names != activations.names:
        names, own = list(activations.names), list(sites.names)
        raise SafsError(f"{source} is of a network with the sites {names}, but this one has {own}.")
    return model, sites


def _plain_copy(model: nn.Module) -> nn.Module:
    model = unwrap(model)
    check_tensors(model)
    return make_plain(copy.deepcopy(model))


def describe_activations(
    sites: Sites, choices: Sequence[SiteChoice], model: Mapping[str, Any], input_shape: tuple[int, ...]
) -> dict[str, Any]:
    """Return the content of `activations.json`."""
    return {
        "schema": SCHEMA,
        "model": dict(model),
        "input_shape": list(input_shape),
        "sites": [_site(site, choice) for site, choice in zip(sites, choices, strict=True)],
    }


def _site(site: Site, choice: SiteChoice) -> dict[str, Any]:
    return {
        "site": site.name,
        "original": site.operator,
        "operator": choice.operator,
        "alpha": choice.alpha,
        "beta": choice.beta,
        "constants": dict(choice.constants),
    }


@dataclass(frozen=True)
class _Activations:
    """What `activations.json` holds."""

    model: str
    kwargs: dict[str, Any]
    input_shape: tuple[int, ...]
    names: tuple[str, ...]
    choices: list[SiteChoice]


def _make_model(source: Path, call: str, activations: _Activations) -> nn.Module:
    if ":" in activations.model:
        raise SafsError(
            f"{source} is of the network {activations.model!r}, whose code is not run by its name; "
            f"pass an instance of it: {call}."
        )
    return make_model(activations.model, activations.kwargs, seed=0)


def _read_activations(path: Path) -> _Activations:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SafsError(f"There is no {path}; give {_BEST}.") from None
    except (ValueError, OSError) as error:
        raise SafsError(f"{path} is damaged: {error}.") from None
    return _parse_activations(text, path)


def _parse_activations(text: str, path: Path) -> _Activations:
    try:
        content = json.loads(text, parse_constant=_number)
    except (ValueError, RecursionError) as error:
        raise SafsError(f"{path} is damaged: {error}.") from None
    if not isinstance(content, dict) or type(content.get("schema")) is not int or content["schema"] != SCHEMA:
        raise SafsError(f"{path} must have schema {SCHEMA}.")
    try:
        return _Activations(
            model=_checked(content["model"]["name"], str),
            kwargs=_checked(content["model"]["kwargs"], dict),
            input_shape=_shape(content["input_shape"]),
            names=tuple(_checked(entry["site"], str) for entry in content["sites"]),
            choices=[_choice(entry) for entry in content["sites"]],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SafsError(f"{path} is damaged: {type(error).__name__}: {error}.") from None


def _choice(entry: Any) -> SiteChoice:
    constants = {name: _value(value) for name, value in _checked(entry["constants"], dict).items()}
    return SiteChoice(_checked(entry["operator"], str), _value(entry["alpha"]), _value(entry["beta"]), constants)


def _checked(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"expected a {kind.__name__}, but got {reprlib.repr(value)}")
    return value


def _value(value: Any) -> Value:
    """Return what stands for α, β or a constant: one number, or one per channel."""
    return [_number(number) for number in value] if isinstance(value, list) else _number(value)


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= _LARGEST_NUMBER:
        raise ValueError(f"expected a finite number, but got {reprlib.repr(value)}")
    return float(value)


def _shape(sizes: Any) -> tuple[int, ...]:
    whole = bool(_checked(sizes, list)) and all(type(size) is int and 1 <= size <= _LARGEST_SIZE for size in sizes)
    if not whole or math.prod(sizes) > _LARGEST_INPUT:
        raise ValueError(f"expected the shape of one example, but got {reprlib.repr(sizes)}")
    return tuple(sizes)


def _read_tensors(path: Path, what: str) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise SafsError(f"There is no {path}; give {what}.") from None
    except (SafetensorError, OSError) as error:
        raise SafsError(f"{path} is damaged: {error}.") from None
