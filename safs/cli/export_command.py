"""`safs export`: the found network as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safs.interrupts import raising

if TYPE_CHECKING:
    from safs.exporting import Exported

_SIGNS = {"alpha": "α", "beta": "β"}


def export(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The run directory of a finished study.")],
    format_name: Annotated[str, typer.Option("--format", metavar="FORMAT", help="safetensors, torch-export or onnx.")],
    out: Annotated[Path, typer.Option(help="The file to write: any name, .pt2 for torch-export, .onnx for onnx.")],
    no_fold: Annotated[bool, typer.Option("--no-fold", help="Keep α and β at their sites.")] = False,
) -> None:
    """Write the found network to one file, α and β folded into its layers, and compare it with the original."""
    from safs.exporting import export_run

    with raising():
        exported = export_run(run_dir, format_name, out, folding=not no_fold)
    for line in _lines(out, format_name, exported):
        typer.echo(line)


def _lines(out: Path, format_name: str, exported: Exported) -> list[str]:
    from safs.exporting.checks import BATCHES

    sizes = " and ".join(str(size) for size in BATCHES)
    lines = [
        f"{out}: {format_name}, {exported.size:,} bytes; the masks of {exported.masked} weights are exact",
        f"Max abs difference from the original on random input: {exported.difference.largest:.1e} "
        f"(outputs up to {exported.difference.scale:.3g}; batches of {sizes})",
    ]
    if exported.folded is not None:
        left = exported.folded.unfolded
        done = exported.folded.factors - len(left)
        lines.append(f"Folded into the layers: {done} of {exported.folded.factors} factors")
        lines += [f"Not folded: {_SIGNS[one.factor]} at {one.site}, because {one.reason}" for one in left]
    return [*lines, "Load it with:", *exported.snippet.splitlines()]
