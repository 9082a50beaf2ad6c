"""What a study that came over the network may ask for, and what the service decides in its place."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from safs.config.resources import ResourcesConfig
from safs.config.schema import Config
from safs.data.roots import VARIABLE
from safs.engines.registry import ENGINES
from safs.service.fields import FieldError
from safs.service.settings import ServiceSettings
from safs.service.storage.layout import INPUT
from spaces.errors import shown

_MODEL_KWARGS = (bool, int, float)
"""Networks take numbers: a text could be a file, an address, or the name of weights to be fetched."""
_FETCHING = ("pretrained", "download")
_PLACES = ("checkpoint", "mask")
_OF_CLUSTERS = ("workers", "cpus_per_trial", "gpus_per_trial", "trial_timeout", "stall_timeout")


def admitted(values: Mapping[str, Any], uploads: Mapping[str, str], settings: ServiceSettings) -> Config:
    """Return the config that the service runs.

    Args:
        values: the config that was submitted.
        uploads: "checkpoint" and "mask", each with the name of its file in the study's folder, as far as uploaded.
        settings: what the service allows, and where trials run.

    Raises:
        FieldError: if it asks for what the service does not allow.
        SafsError: if it is no config.
    """
    checked = Config.from_mapping(_with_place(_with_uploads(values, uploads), settings))
    _check_model(checked, settings)
    _check_data(checked, settings)
    return checked


def gpus(config: Config) -> float:
    """Return how many GPUs the trials of a study take at a time, as far as its config says: of "max", those of one."""
    resources = config.resources
    trials = 1 if resources.workers == "max" else resources.workers
    return trials / (_trials_per_gpu(resources) or math.inf)


def within_share(config: Config, most_gpus: float | None) -> Config:
    """Return the config of a study that never takes more GPUs than its token may have.

    As many trials run at a time as fit into the share; if not even one does, they run on the CPU, unless the config
    asks for a GPU.

    Args:
        config: as `admitted` returned it.
        most_gpus: the share; None for no limit.

    Raises:
        FieldError: if it asks for more.
    """
    resources = config.resources
    per_gpu = _trials_per_gpu(resources)
    if most_gpus is None or per_gpu == 0:
        return config
    room = math.floor(most_gpus * per_gpu + 1e-9)
    if room == 0 and resources.device == "auto" and resources.gpus_per_trial is None:
        return _with_resources(config, device="cpu")
    if room == 0 or (resources.workers != "max" and resources.workers > room):
        raise FieldError(
            "resources",
            f"It would take {gpus(config):g} GPUs at a time, and your token may have {most_gpus:g}; set "
            "`resources.device` to cpu, or what `workers` and `gpus_per_trial` say lower.",
        )
    if resources.engine == "inline" or resources.workers != "max":
        return config
    return _with_resources(config, workers=room)


def _trials_per_gpu(resources: ResourcesConfig) -> int:
    """Return how many trials share a GPU, as the engines reserve it; 0 if they take none. What may take one counts."""
    if resources.device == "cpu" or resources.gpus_per_trial == 0:
        return 0
    return 1 if resources.gpus_per_trial is None else round(1 / resources.gpus_per_trial)


def _with_uploads(values: Mapping[str, Any], uploads: Mapping[str, str]) -> dict[str, Any]:
    """Return the values with the uploaded files, which stand for what they would be made by."""
    model = values.get("model")
    if isinstance(model, str):
        model = {"name": model}
    if not isinstance(model, Mapping):
        return dict(values)  # which the config's own check refuses
    for place in _PLACES:
        if model.get(place) is not None and place not in uploads:
            raise FieldError(f"model.{place}", f"Send `model.{place}` as the part `{place}` of the request instead.")
    given = {place: f"{INPUT}/{name}" for place, name in uploads.items()}
    replaced = {"pretrain"} if "checkpoint" in given else set()
    return {**values, "model": {**{key: value for key, value in model.items() if key not in replaced}, **given}}


def _check_model(config: Config, settings: ServiceSettings) -> None:
    model = config.model
    if model.trust_pickle:
        raise FieldError("model.trust_pickle", "Uploaded files are never unpickled; leave out `model.trust_pickle`.")
    _check_factory("model.name", "network", model.name, settings)
    if model.name in settings.factories:
        return
    for name, value in model.kwargs.items():
        if name in _FETCHING or not _is_made_of(value, _MODEL_KWARGS):
            raise FieldError(
                f"model.kwargs.{name}",
                f"`model.kwargs.{name}` must be numbers; weights are uploaded, not fetched.",
            )


def _check_data(config: Config, settings: ServiceSettings) -> None:
    data = config.data
    if data.trust_pickle:
        raise FieldError("data.trust_pickle", "Nothing is unpickled here; leave out `data.trust_pickle`.")
    _check_factory("data.name", "dataset", data.name, settings)
    if data.root is not None and not data.root.is_absolute():
        raise FieldError("data.root", "`data.root` must be an absolute path on the service's machine; or leave it out.")
    if data.root is not None:
        usual = os.environ.get(VARIABLE)  # where studies read that name none
        roots = [*settings.data_roots, *([Path(usual)] if usual else [])]
        if not any(data.root.resolve().is_relative_to(root.resolve()) for root in roots):
            raise FieldError("data.root", "`data.root` must lie in a data folder of the service; leave it out.")
    for name, value in data.kwargs.items():
        if name in _FETCHING or not _is_made_of(value, (bool, int, float, str)) or _leaves_its_folder(value):
            raise FieldError(
                f"data.kwargs.{name}",
                f"`data.kwargs.{name}` must be numbers, words, or patterns of files.",
            )


def _check_factory(field: str, what: str, name: str, settings: ServiceSettings) -> None:
    if ":" in name and name not in settings.factories:
        allowed = ", ".join(settings.factories) or "none"
        raise FieldError(field, f"No {what} {shown(name)} here; the factories that are: {allowed}.")


def _with_place(values: Mapping[str, Any], settings: ServiceSettings) -> dict[str, Any]:
    """Return the values with where trials run, which the service says."""
    resources = values.get("resources") or {}
    if not isinstance(resources, Mapping):
        return dict(values)  # which the config's own check refuses
    if resources.get("address") is not None:
        raise FieldError("resources.address", "The service says where trials run; leave out `resources.address`.")
    if resources.get("engine", "inline") not in list(ENGINES):
        return dict(values)  # likewise
    if settings.engine == "inline":
        for name in _OF_CLUSTERS:
            usual = ResourcesConfig.model_fields[name].default
            if resources.get(name, usual) != usual:
                raise FieldError(
                    f"resources.{name}", f"This service runs one trial after the other; leave out `resources.{name}`."
                )
    return {**values, "resources": {**resources, "engine": settings.engine, "address": settings.address}}


def _with_resources(config: Config, **changes: Any) -> Config:
    values = config.model_dump(mode="json", by_alias=True)
    return Config.from_mapping({**values, "resources": {**values["resources"], **changes}})


def _is_made_of(value: Any, kinds: tuple[type, ...]) -> bool:
    return all(_is_made_of(part, kinds) for part in value) if isinstance(value, list) else isinstance(value, kinds)


def _leaves_its_folder(value: Any) -> bool:
    if isinstance(value, list):
        return any(_leaves_its_folder(part) for part in value)
    path = PurePosixPath(value) if isinstance(value, str) else PurePosixPath()
    return path.is_absolute() or ".." in path.parts or "\\" in str(path) or str(path).startswith("~")
