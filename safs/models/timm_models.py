"""`timm/NAME`: the networks of the optional package timm, without pretrained weights."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from spaces.errors import SafsError, nearest_name

WEIGHT_ARGUMENTS = {
    "cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_filter_fn",
    "pretrained_model_args", "pretrained_strict",
}  # fmt: skip
"""Arguments that say which file or address timm reads weights from, and how; it may unpickle them."""


def timm_builder(name: str) -> Callable[..., nn.Module]:
    """Return what builds timm's network `name`, which may have a pretrained tag: its configuration is then that one's.

    The builder raises SafsError for an argument of `WEIGHT_ARGUMENTS`.

    Raises:
        SafsError: if timm is not installed, or has no such network.
    """
    timm = _timm()
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        nearest = nearest_name(name.partition(".")[0], known)
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        raise SafsError(f"Unknown timm model {name!r}.{hint} timm.list_models() lists its {len(known):,} names.")

    def build(**kwargs: Any) -> nn.Module:
        refused = sorted(WEIGHT_ARGUMENTS & kwargs.keys())
        if refused:
            raise SafsError(
                f"timm/{name} is built without weights, so it takes no {', '.join(refused)}; leave that out and name a "
                "file of weights as the checkpoint."
            )
        model: nn.Module = timm.create_model(name, pretrained=False, **kwargs)
        return model

    return build


def timm_input_shape(name: str) -> tuple[int, ...] | None:
    """Return the shape of one example that timm's network `name` is made for, or None if timm does not say."""
    configuration = _timm().models.get_pretrained_cfg(name)
    return tuple(configuration.input_size) if configuration is not None else None


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise SafsError("timm/NAME needs the package timm, which is not installed: install 'safs[timm]'.") from error
