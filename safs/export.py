"""`best/`: the found network as files that can be loaded without a study."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from safs.files import to_json, write_atomically
from safs.masks import check_mask, violations
from safs.models.registry import make_model
from safs.sites import Site, find_sites
from safs.surgery import ACTIVATIONS, SiteChoice, apply_assignment
from safs.trial import Problem
from spaces.errors import SafsError

SCHEMA = 1


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
    weights = {name: tensor.contiguous() for name, tensor in state.items() if not name.startswith(f"{ACTIVATIONS}.")}
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
        model: an instance of the network that was searched; by default it is built by its name.

    Raises:
        SafsError: if a file is missing or damaged, the network is another one, or a masked weight is not zero.
    """
    folder = Path(folder)
    activations = _read_activations(folder / "activations.json")
    weights, mask = (_read_tensors(folder / f"{name}.safetensors") for name in ("model", "mask"))
    if model is None:
        model = make_model(activations["model"]["name"], seed=0, **activations["model"]["kwargs"])
    sites = find_sites(model, tuple(activations["input_shape"]))
    recorded = [entry["site"] for entry in activations["sites"]]
    if list(sites.names) != recorded:
        raise SafsError(f"{folder} is of a network with the sites {recorded}, but this one has {list(sites.names)}.")
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise SafsError(f"{folder}/model.safetensors does not fit the network: {error}") from None
    broken = violations(weights, check_mask(mask, model))
    if broken:
        raise SafsError(f"{folder}: masked weights of {broken[0]!r} are not zero.")
    choices = [
        SiteChoice(entry["operator"], entry["alpha"], entry["beta"], entry["constants"])
        for entry in activations["sites"]
    ]
    return apply_assignment(model, choices, sites=sites).eval()


def _site(site: Site, choice: SiteChoice) -> dict[str, Any]:
    return {
        "site": site.name,
        "original": site.operator,
        "operator": choice.operator,
        "alpha": choice.alpha,
        "beta": choice.beta,
        "constants": dict(choice.constants),
    }


def _read_activations(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SafsError(f"There is no {path}; give the `best` folder of a finished study.") from None
    except ValueError as error:
        raise SafsError(f"{path} is damaged: {error}.") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise SafsError(f"{path} must have schema {SCHEMA}.")
    return content


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise SafsError(f"There is no {path}; give the `best` folder of a finished study.") from None
    except (SafetensorError, OSError) as error:
        raise SafsError(f"{path} is damaged: {error}.") from None
