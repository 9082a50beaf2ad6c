"""`safs prune`: from a dense checkpoint to a pruned one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safs.cli.interrupts import raising
from safs.cli.options import InputOption, KwargOption, ModelArgument, TrustPickleOption, parse_kwargs, parse_shape
from spaces.errors import SafsError


def prune_checkpoint(
    model: ModelArgument,
    checkpoint: Annotated[Path, typer.Option(help="The dense checkpoint.")],
    out: Annotated[Path, typer.Option(help="Where the pruned one goes: .pt or .safetensors.")],
    ratio: Annotated[float, typer.Option(help="The share of weights to remove, in [0, 1).")] = 0.99,
    method: Annotated[str, typer.Option(help="magnitude.")] = "magnitude",
    scope: Annotated[str, typer.Option(help="layer or global.")] = "layer",
    input_shape: InputOption = None,
    kwarg: KwargOption = None,
    trust_pickle: TrustPickleOption = False,
) -> None:
    """Prune a dense checkpoint and write the weights with their mask."""
    shape = parse_shape(input_shape)
    if out.exists():
        raise SafsError(f"{out} exists already and is left as it is; name another file with --out.")
    from safs.checkpoints import load_into, save_checkpoint
    from safs.describe import describe
    from safs.masks import apply_mask
    from safs.models.registry import make_model, usual_input_shape
    from safs.pruning import prune
    from safs.sites import find_sites
    from safs.storage import storing

    network = make_model(model, parse_kwargs(kwarg), seed=0)
    if load_into(network, checkpoint, trust_pickle=trust_pickle) is not None:
        raise SafsError(f"The checkpoint {checkpoint} is pruned already; give a dense one.")
    mask = prune(network, ratio, method=method, scope=scope)
    apply_mask(network, mask)
    shape = shape or usual_input_shape(model)
    described = describe(model, network, find_sites(network, shape), mask, shape)
    with raising(), storing(out):
        save_checkpoint(out, network, mask)
    kept = described["mask"]
    typer.echo(f"{out}: {kept['nonzero']:,} of {kept['total']:,} weights kept, sparsity {100 * kept['sparsity']:.2f} %")
    for warning in described["warnings"]:
        typer.echo(f"Warning: {warning}", err=True)
