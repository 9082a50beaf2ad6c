"""The commands and what their errors mean: exit 0 ok, 1 failed, 2 bad input, 3 no valid trial, 130 interrupted."""

from __future__ import annotations

from typing import Annotated

import typer

from safs.cli.change_commands import cancel, delete, resume
from safs.cli.compare_command import compare
from safs.cli.export_command import export
from safs.cli.fetch_command import fetch
from safs.cli.inspect_command import inspect_network
from safs.cli.list_command import list_studies
from safs.cli.logs_command import logs
from safs.cli.prune_command import prune_checkpoint
from safs.cli.report_command import report
from safs.cli.run_command import demo, run
from safs.cli.serve_command import serve
from safs.cli.status_command import status
from safs.cli.submit_command import submit
from safs.cli.tabulate_command import tabulate
from safs.cli.token_command import app as token_app
from safs.cli.worker_command import worker
from safs.interrupts import INTERRUPTED, end, quitting
from safs.version import __version__
from spaces.errors import SafsError

app = typer.Typer(
    name="safs",
    help="Search activation functions for a pruned network, and give its accuracy back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Search activation functions for a pruned network, and give its accuracy back."""


app.command("demo")(demo)
app.command("inspect")(inspect_network)
app.command("prune")(prune_checkpoint)
app.command("run")(run)
app.command("report")(report)
app.command("export")(export)
app.command("compare")(compare)
app.command("tabulate")(tabulate)
app.command("serve")(serve)
app.add_typer(token_app, name="token")
app.command("submit")(submit)
app.command("list")(list_studies)
app.command("status")(status)
app.command("logs")(logs)
app.command("cancel")(cancel)
app.command("resume")(resume)
app.command("delete")(delete)
app.command("fetch")(fetch)
app.command("worker")(worker)


def main() -> None:
    """Run the command line and exit: bad input is one line on stderr, never a traceback."""
    try:
        with quitting():
            app()
    except KeyboardInterrupt:
        end(INTERRUPTED)
    except SystemExit as error:  # Typer's
        end(error.code)
    except SafsError as error:
        typer.echo(f"Error: {error}", err=True)
        end(error.exit_code)
