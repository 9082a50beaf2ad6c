"""`best/`: the found network as files that can be loaded without a study."""

from __future__ import annotations

import copy
import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from safs.checkpoints import check_fits
from safs.files import to_json, write_atomically
from safs.masks import check_mask, violations
from safs.models.registry import make_model
from safs.sites import Site, find_sites
from safs.surgery import ACTIVATIONS, SiteChoice, apply_assignment
from safs.trial import Problem
from spaces.activation import Value
from spaces.errors import SafsError

T = TypeVar("T")

SCHEMA = 1
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
    activations = {
        "schema": SCHEMA,
        "model": dict(model),
        "input_shape": list(problem.data.images.shape[1:]),
        "sites": [_site(site, choice) for site, choice in zip(problem.sites, choices, strict=True)],
    }
    write_atomically(folder / "model.safetensors", save(weights))
    masks = {name: kept.cpu().contiguous() for name, kept in problem.mask.items()}
    write_atomically(folder / "mask.safetensors", save(masks))
    write_atomically(folder / "activations.json", to_json(activations))


def load_best(folder: Path | str, model: nn.Module | None = None) -> nn.Module:
    """Return the network that a study found, ready for inference, from its `best/` folder.

    Args:
        folder: the folder with the three files.
        model: an instance of the network that was searched; it is not changed. By default it is built by its name,
            if that is one of SAFS's or torchvision's: a folder from elsewhere is never asked what to import and run.

    Raises:
        SafsError: if a file is missing or damaged, the network is another one, or a masked weight is not zero.
    """
    folder = Path(folder)
    activations = _read_activations(folder / "activations.json")
    weights, mask = (_read_tensors(folder / f"{name}.safetensors") for name in ("model", "mask"))
    model = copy.deepcopy(model) if model is not None else _make_model(folder, activations)
    check_fits(weights, model, folder / "model.safetensors")
    model.load_state_dict(weights, strict=False)
    sites = find_sites(model, activations.input_shape)
    if sites.names != activations.names:
        names, own = list(activations.names), list(sites.names)
        raise SafsError(f"{folder} is of a network with the sites {names}, but this one has {own}.")
    broken = violations(weights, check_mask(mask, model))
    if broken:
        raise SafsError(f"{folder}: masked weights of {broken[0]!r} are not zero.")
    return apply_assignment(model, activations.choices, sites=sites).eval()


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


def _make_model(folder: Path, activations: _Activations) -> nn.Module:
    if ":" in activations.model:
        raise SafsError(
            f"{folder} is of the network {activations.model!r}, whose code is not run by its name; "
            "pass an instance of it: load_best(folder, model)."
        )
    return make_model(activations.model, activations.kwargs, seed=0)


def _read_activations(path: Path) -> _Activations:
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_number)
    except FileNotFoundError:
        raise SafsError(f"There is no {path}; give the `best` folder of a finished study.") from None
    except (ValueError, OSError, RecursionError) as error:
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


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise SafsError(f"There is no {path}; give the `best` folder of a finished study.") from None
    except (SafetensorError, OSError) as error:
        raise SafsError(f"{path} is damaged: {error}.") from None
