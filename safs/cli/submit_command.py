"""`safs submit`: hand a study to a service."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from safs.cli.options import Output, OutputOption, SettingsOption
from safs.cli.remote_options import DEFAULT_SERVER, InsecureOption, ServerOption, TokenFileOption, connect

_LONGEST_NAME = 100


def submit(
    config: Annotated[Path, typer.Option("--config", metavar="CONFIG", help="The YAML file of the study.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="The weights to upload [default: the config's checkpoint]."),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option("--mask", metavar="FILE", help="The mask to upload [default: the config's mask]."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="What people call the study [default: the config's name].")
    ] = None,
    priority: Annotated[
        int, typer.Option("--priority", min=-100, max=100, help="Higher ones run first; -100 to 100.")
    ] = 0,
    settings: SettingsOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show what happens until the study has ended.")] = False,
    output: OutputOption = Output.TABLE,
    server: ServerOption = DEFAULT_SERVER,
    token_file: TokenFileOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Submit a study with its pruned checkpoint to a service, and print its id."""
    from safs.cli.status_command import watch_to_its_end

    form = read_form(config, settings or (), checkpoint, mask)
    with connect(server, token_file, insecure) as client:
        study = client.submit(
            form.config, checkpoint=form.checkpoint, mask=form.mask, name=name or _name(config), priority=priority
        )
        if study.message is not None:
            typer.echo(study.message, err=True)
        if not watch:
            typer.echo(f"Submitted. Watch it: safs status {study.id} --watch", err=True)
            typer.echo(study.id if output is Output.TABLE else json.dumps(asdict(study), indent=2, ensure_ascii=False))
            return
        typer.echo(f"Submitted as {study.id}.", err=True)
        watch_to_its_end(client, study, output)


def _name(config: Path) -> str:
    """Return what a study is called after its file: without what a file may be called and a study may not."""
    return "".join(letter if letter.isprintable() and letter != "\\" else "?" for letter in config.stem)[:_LONGEST_NAME]


@dataclass(frozen=True)
class Form:
    """What is sent: the config's text, and the files that stand for `model.checkpoint` and `model.mask`."""

    config: str
    checkpoint: Path | None
    mask: Path | None


def read_form(config: Path, settings: Sequence[str], checkpoint: Path | None, mask: Path | None) -> Form:
    """Return what a config file and the command line come to.

    A config without settings and without paths of this machine is sent as it was written. The server checks all the
    rest.

    Raises:
        SafsError: if the file or a setting cannot be read.
    """
    import yaml

    from safs.config.yaml_input import lay_over, named, parse_mapping, read_text
    from spaces.errors import SafsError

    text = read_text(config)
    values = parse_mapping(text, f"The config {config}")
    for setting in settings:
        lay_over(values, setting)
    model = named(values.get("model"))
    if not isinstance(model, dict):
        return Form(text, checkpoint, mask)
    files = {"checkpoint": checkpoint, "mask": mask}
    for key, given in files.items():
        path = model.get(key)
        if path is not None and not isinstance(path, str):
            raise SafsError(f"model.{key} must be the path of a file, but is {path!r}.")
        files[key] = given or (Path(path) if path else None)
    sent = {key: value for key, value in model.items() if key not in files}
    if sent != model or settings:
        text = yaml.safe_dump({**values, "model": sent}, sort_keys=False, allow_unicode=True)
    return Form(text, files["checkpoint"], files["mask"])
