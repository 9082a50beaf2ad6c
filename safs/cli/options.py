"""Options that several commands share."""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from pathlib import Path
from typing import Annotated, Any

import typer

from spaces.errors import SafsError


class Output(StrEnum):
    """How a command that reads prints."""

    TABLE = "table"
    JSON = "json"


class Verbosity(Enum):
    """How much a command that trains says of it."""

    QUIET = auto()
    NORMAL = auto()
    VERBOSE = auto()


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="lenet5, vgg16-cifar, resnet18-cifar, resnet20-cifar, efficientnet-b0-small, torchvision/NAME, timm/NAME "
        "or package.module:factory.",
    ),
]
InputOption = Annotated[
    str | None, typer.Option("--input", metavar="C,H,W", help="The shape of one example, such as 3,32,32.")
]
KwargOption = Annotated[
    list[str] | None,
    typer.Option("--kwarg", metavar="KEY=VALUE", help="An argument of the network's factory; may be repeated."),
]
TrustPickleOption = Annotated[
    bool, typer.Option("--trust-pickle", help="Run the code in a pickled checkpoint. Only for people you trust.")
]
MinZeroShareOption = Annotated[
    float,
    typer.Option(help="The share of zeros from which on weights without a mask count as pruned."),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Print a table, or JSON.")]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Lay a value over the config: --set stage1.iterations=5."),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with what was interrupted.")]
RunDirOption = Annotated[
    Path | None,
    typer.Option("--run-dir", metavar="DIR", help="The run directory [default: in runs, by the config's name]."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show only warnings and the result.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print a line for every epoch, on a terminal too.")
]


def check_verbosity(quiet: bool, verbose: bool) -> Verbosity:
    """Return what --quiet and --verbose ask for; SafsError if both are given."""
    if quiet and verbose:
        raise SafsError("--quiet and --verbose contradict each other; leave out one of them.")
    if quiet:
        return Verbosity.QUIET
    return Verbosity.VERBOSE if verbose else Verbosity.NORMAL


def parse_kwargs(pairs: list[str] | None, flag: str = "--kwarg", example: str = "num_classes=10") -> dict[str, Any]:
    """Return the `key=value` pairs given with a flag as a dict, each value read as YAML."""
    from safs.config.yaml_input import parse_yaml

    kwargs: dict[str, Any] = {}
    for pair in pairs or ():
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise SafsError(f"{flag} takes key=value, such as {example}, but got {pair!r}.")
        kwargs[key] = parse_yaml(text, f"The value of {flag} {key}")
    return kwargs


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """Return "3,32,32" as (3, 32, 32)."""
    if text is None:
        return None
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise SafsError(f"--input takes the shape of one example, such as 3,32,32, but got {text!r}.")
    return shape
