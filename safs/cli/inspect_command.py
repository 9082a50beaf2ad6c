"""`safs inspect`: what would be searched in a network, and what its mask leaves connected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safs.cli.options import (
    InputOption,
    KwargOption,
    MinZeroShareOption,
    ModelArgument,
    Output,
    OutputOption,
    TrustPickleOption,
    parse_kwargs,
    parse_shape,
)
from spaces.errors import SafsError

if TYPE_CHECKING:
    from rich.console import Console

_WAYS = {
    "fx": "Traced by torch.fx.",
    "leaves": "Traced by torch.fx as far as that goes; what it cannot trace is kept whole.",
}


def inspect_network(
    model: ModelArgument,
    checkpoint: Annotated[Path | None, typer.Option(help="A checkpoint, dense or pruned.")] = None,
    input_shape: InputOption = None,
    kwarg: KwargOption = None,
    trust_pickle: TrustPickleOption = False,
    mask: Annotated[Path | None, typer.Option(help="A file with the checkpoint's mask.")] = None,
    min_zero_share: MinZeroShareOption = 0.01,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a network's activation sites and gates, and what a checkpoint's mask leaves connected."""
    shape = parse_shape(input_shape)
    from safs.checkpoints import load, read_checkpoint, read_mask
    from safs.describe import describe
    from safs.models.registry import make_model, usual_input_shape
    from safs.plain import make_plain
    from safs.sites import find_sites

    kwargs = parse_kwargs(kwarg)
    network = make_model(model, kwargs, seed=0)
    loaded = None
    if checkpoint is not None:
        read = read_checkpoint(checkpoint, trust_pickle=trust_pickle)
        loaded = load(network, read, mask=read_mask(mask) if mask else None, min_zero_share=min_zero_share)
    elif mask is not None:
        raise SafsError("--mask is a file with the mask of a checkpoint; give --checkpoint, too.")
    make_plain(network)
    shape = shape or usual_input_shape(model, kwargs)
    described = describe(model, network, find_sites(network, shape), loaded.mask if loaded else None, shape, loaded)
    if output is Output.JSON:
        typer.echo(json.dumps(described, indent=2, ensure_ascii=False))
    else:
        _print_tables(described)
    for warning in described["warnings"]:
        typer.echo(f"Warning: {warning}", err=True)


def _print_tables(described: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(_WAYS[described["traced"]])
    sites = Table("#", "site", "operator", "output shape", title=f"{len(described['sites'])} activation sites")
    for number, site in enumerate(described["sites"], start=1):
        shape = "×".join(map(str, site["shape"])) if site["shape"] else "unknown, give --input"
        sites.add_row(str(number), site["name"], site["operator"], shape)
    console.print(sites)
    if described["gates"]:
        gates = Table("gate", "operator", title=f"{len(described['gates'])} gates, left as they are")
        for gate in described["gates"]:
            gates.add_row(gate["name"], gate["operator"])
        console.print(gates)
    if described["checkpoint"]:
        _print_origin(console, described["checkpoint"])
    mask = described["mask"]
    if mask is None:
        console.print("No mask: the weights are dense.")
        return
    title = f"Mask: {mask['nonzero']:,} of {mask['total']:,} weights, sparsity {100 * mask['sparsity']:.2f} %"
    layers = Table("layer", "nonzero", "total", "connected outputs", title=title)
    for layer in mask["layers"]:
        connected = f"{layer['connected']} of {layer['outputs']}" if "connected" in layer else "unknown"
        layers.add_row(layer["name"], f"{layer['nonzero']:,}", f"{layer['total']:,}", connected)
    console.print(layers)
    if "logits" in mask:
        console.print(f"{mask['connected_logits']} of {mask['logits']} logits are connected to the input.")


def _print_origin(console: Console, checkpoint: dict[str, Any]) -> None:
    """Print which weights of a checkpoint were read, and how its mask came about."""
    if checkpoint["not_read"]:
        console.print(f"Weights read from {checkpoint['weights_from']}, not from {', '.join(checkpoint['not_read'])}.")
    origins = {"own": "the checkpoint's own", "file": "that of the mask file", "inferred": "inferred from zero weights"}
    if checkpoint["mask_from"]:
        console.print(f"The mask is {origins[checkpoint['mask_from']]}.")
    shares = f"{checkpoint['zero_share']:.2%} of its weights are zero; from {checkpoint['min_zero_share']:.2%}"
    console.print(f"{shares} on they count as pruned.")
