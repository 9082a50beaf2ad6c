"""`safs inspect`: what would be searched in a network, and what its mask leaves connected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from safs.cli.options import (
    InputOption,
    KwargOption,
    ModelArgument,
    Output,
    OutputOption,
    TrustPickleOption,
    parse_kwargs,
    parse_shape,
)


def inspect_network(
    model: ModelArgument,
    checkpoint: Annotated[Path | None, typer.Option(help="A checkpoint, dense or pruned.")] = None,
    input_shape: InputOption = None,
    kwarg: KwargOption = None,
    trust_pickle: TrustPickleOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a network's activation sites and gates, and what a checkpoint's mask leaves connected."""
    shape = parse_shape(input_shape)
    from safs.checkpoints import load_into
    from safs.describe import describe
    from safs.models.registry import make_model, usual_input_shape
    from safs.sites import find_sites

    network = make_model(model, parse_kwargs(kwarg), seed=0)
    mask = load_into(network, checkpoint, trust_pickle=trust_pickle) if checkpoint else None
    shape = shape or usual_input_shape(model)
    described = describe(model, network, find_sites(network, shape), mask, shape)
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
