"""`safs run` and `safs demo`: run a study, or go on with one."""

from __future__ import annotations

import itertools
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safs.cli.options import (
    Output,
    OutputOption,
    QuietOption,
    ResumeOption,
    RunDirOption,
    SettingsOption,
    VerboseOption,
    Verbosity,
    check_verbosity,
)
from spaces.errors import SafsError

if TYPE_CHECKING:
    from safs.config.schema import Config


def run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML file of the study.")],
    settings: SettingsOption = None,
    run_dir: RunDirOption = None,
    resume: ResumeOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be searched and trained, and what it would cost.")
    ] = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run the study in a config file: both stages, the baselines, the report."""
    from safs.config.schema import Config

    verbosity = check_verbosity(quiet, verbose)
    _check_output(resume, dry_run, output)
    checked = Config.from_yaml(config, settings or ())
    if dry_run:
        _print_plan(checked, output, verbosity)
        return
    folder = run_dir or Path("runs") / config.stem
    _run(checked, folder, verbosity, resume=resume)


def _check_output(resume: bool, dry_run: bool, output: Output) -> None:
    if dry_run and resume:
        raise SafsError("--dry-run says what a whole study costs, not what is left of one; leave out --resume.")
    if output is Output.JSON and not dry_run:
        raise SafsError("A study's result is JSON in its summary.json; leave out -o json, which is for --dry-run.")


def _print_plan(config: Config, output: Output, verbosity: Verbosity) -> None:
    from safs.cli.dry_run_output import announce, show
    from safs.dry_run import dry_run

    told = announce if verbosity is not Verbosity.QUIET else lambda done, of: None
    show(dry_run(config, told), output)


def demo(
    settings: SettingsOption = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", metavar="DIR", help="The run directory [default: a new runs/demo*].")
    ] = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Recover a 98 % pruned LeNet-5 on scikit-learn's handwritten digits: the main job in a few minutes."""
    from safs.config.schema import Config

    verbosity = check_verbosity(quiet, verbose)
    packaged = files("safs") / "demo.yaml"
    checked = Config.from_yaml(Path(str(packaged)), settings or ())
    _run(checked, run_dir or _free_folder(Path("runs") / "demo"), verbosity, resume=False)


def _free_folder(folder: Path) -> Path:
    """Return `folder`, or the first of folder-2, folder-3, ... that does not exist."""
    names = itertools.chain([folder], (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2)))
    return next(candidate for candidate in names if not candidate.exists())


def _run(config: Config, folder: Path, verbosity: Verbosity, *, resume: bool) -> None:
    from safs.cli.report_command import print_result
    from safs.cli.running import watched
    from safs.study import Study

    with watched(folder, ["run", str(folder / "config.yaml")], verbosity) as observer:
        summary = Study(config, folder, observer).run(resume=resume)
    print_result(summary, folder / "report.html")
