"""How `safs run --dry-run` shows its result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from safs.cli.options import Output

if TYPE_CHECKING:
    from rich.table import Table

_PHASES = {
    "dense": "dense network",
    "prune": "pruning",
    "uniform": "single operators",
    "stage1": "stage 1",
    "finalists": "finalists",
    "safs": "stage 2, safs",
    "stage2": "stage 2, stage2",
    "final": "final rows",
}
"""What the phases are called where a line has 80 columns."""


_SHOWN = 20
"""Sites that are listed by name."""


def announce(done: int, of: int) -> None:
    """Say on stderr which measurement is under way."""
    typer.echo(f"Measuring training steps: {done + 1} of {of}", err=True)


def show(planned: Mapping[str, Any], output: Output) -> None:
    """Print what `safs.dry_run` returned."""
    if output is Output.JSON:
        typer.echo(json.dumps(planned, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    from safs.report.text import duration

    data, total = planned["data"], planned["total"]
    sites, operators = planned["sites"], planned["operators"]
    shape = "×".join(map(str, data["shape"]))
    gates = f", {len(planned['gates'])} gates left as they are" if planned["gates"] else ""
    typer.echo(f"{planned['model']} on {data['name']}: {data['examples']:,} examples of {shape}")
    typer.echo(f"{len(sites)} activation sites{gates}: {_listed(sites)}")
    typer.echo(f"{len(operators)} operators: {', '.join(operators)}")
    typer.echo(f"Stage 1 chooses among {len(operators)}^{len(sites)} = {_rounded(planned['space'])} assignments.")
    Console().print(_table(planned))
    typer.echo(
        f"At most {total['trials']:,} trials, {total['epochs']:,} epochs; an estimated {duration(total['seconds'])} "
        f"({total['seconds'] / 3600:.2f} hours) on {_device(planned)}, one trial after the other."
    )
    typer.echo(f"Not included: {'; '.join(planned['not_included'])}.")


def _listed(sites: Sequence[Mapping[str, Any]]) -> str:
    more = f" and {len(sites) - _SHOWN} more" if len(sites) > _SHOWN else ""
    return ", ".join(f"{site['name']} ({site['operator']})" for site in sites[:_SHOWN]) + more


def _table(planned: Mapping[str, Any]) -> Table:
    from rich.table import Table

    from safs.report.text import duration

    table = Table("Phase", caption="at most; a step is measured, the time estimated")
    for title in ("Trials", "Epochs", "Examples", "Step", "Time"):
        table.add_column(title, justify="right", no_wrap=True)
    for phase in planned["phases"]:
        table.add_row(
            _PHASES[phase["phase"]],
            f"{phase['trials']:,}",
            f"{phase['epochs']:,}",
            f"{phase['examples_per_epoch']:,}",
            _short(phase["seconds"] / phase["steps"]),
            duration(phase["seconds"]),
        )
    return table


def _short(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _rounded(size: int) -> str:
    """Return a number as people read it; `size` may be larger than any float."""
    exponent = len(str(size)) - 1
    return f"{size:,}" if exponent < 9 else f"{size / 10**exponent:.1f}e{exponent}"


def _device(planned: Mapping[str, Any]) -> str:
    threads = planned["threads"]
    return f"{planned['device']} ({threads} thread{'s' if threads > 1 else ''})"
