"""Loading a state dict that comes from a file."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn


def load_state(model: nn.Module, state: Mapping[str, Tensor], *, strict: bool = True) -> None:
    """Load tensors by state-dict name into a network, in place, as a state dict of the network's present version.

    A file keeps the tensors, but not the versions that PyTorch keeps beside them. Without these, layers that changed
    take a state dict for one of an old version, or refuse it (torchvision's MNASNet).

    Args:
        model: the network.
        state: its tensors.
        strict: whether the names must be exactly the network's.

    Raises:
        RuntimeError: if a shape, or with `strict` a name, is another one; callers check both before.
    """
    versioned = OrderedDict(state)
    versions = getattr(model.state_dict(), "_metadata", None)
    if versions is not None:
        versioned._metadata = versions  # type: ignore[attr-defined]
    model.load_state_dict(versioned, strict=strict)
