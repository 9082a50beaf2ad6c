"""Step 0, first half: read the checkpoint of a study, once."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from safs.checkpoints import Loaded, load, read_checkpoint, read_mask
from safs.config.schema import Config
from safs.models.registry import make_model
from spaces.errors import SafsError


class PrunedAlreadyError(SafsError):
    """A checkpoint that is pruned already, and a config that would prune it."""


@dataclass(frozen=True)
class Start:
    """The weights that a study starts from.

    Attributes:
        state: the state dict of the network with the checkpoint's weights.
        loaded: what came of the checkpoint, its mask among it.
        sha256: of each file that was read, by what it is.
    """

    state: dict[str, Tensor]
    loaded: Loaded
    sha256: dict[str, str]


def read_start(config: Config) -> Start | None:
    """Return what the checkpoint of a config comes to in its network, or None if the config trains the network.

    Raises:
        SafsError: if the checkpoint or the mask file cannot be read or is of another network, or if the checkpoint is
            dense and nothing prunes it.
        PrunedAlreadyError: if the checkpoint is pruned already, and the config would prune it.
    """
    if config.model.checkpoint is None:
        return None
    model = make_model(config.model.name, config.model.kwargs, seed=config.seed)
    checkpoint = read_checkpoint(config.model.checkpoint, trust_pickle=config.model.trust_pickle)
    mask = read_mask(config.model.mask) if config.model.mask is not None else None
    loaded = load(model, checkpoint, mask=mask, min_zero_share=config.model.min_zero_share)
    if loaded.mask is None and config.prune is None:
        raise SafsError(
            f"{checkpoint.source} is dense ({loaded.zero_share:.2%} of its weights are zero, and from "
            f"{loaded.min_zero_share:.2%} on they count as pruned), and the config does not prune it; set "
            "`prune.ratio`, or `model.min_zero_share: 0` if it is pruned by structure."
        )
    if loaded.mask is not None and config.prune is not None:
        raise PrunedAlreadyError(
            f"{checkpoint.source} is pruned already; set `prune: null` (--set prune=null) to keep its mask."
        )
    files = {"checkpoint": checkpoint} | ({"mask": mask} if mask is not None else {})
    return Start(model.state_dict(), loaded, {kind: file.sha256 for kind, file in files.items()})
