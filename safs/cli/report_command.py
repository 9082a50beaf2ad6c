"""`safs report`: the table and the page of a finished study, made anew from its run directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from safs.cli.options import Output, OutputOption
from safs.interrupts import raising


def report(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The run directory of a finished study.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Write report.html and the figures of a finished study, and print its table."""
    from safs.report.page import write_report
    from safs.summary import read_summary

    summary = read_summary(run_dir)
    with raising():
        page = write_report(run_dir)
    if output is Output.JSON:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
    else:
        print_result(summary, page)


def print_result(summary: dict[str, object], page: Path) -> None:
    """Print the table of baselines and the path of the report."""
    from rich.console import Console

    from safs.report.table import baseline_table

    Console().print(baseline_table(summary))
    typer.echo(f"Report: {page.resolve()}")
