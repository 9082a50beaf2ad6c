"""What is wrong with a config, in one sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from spaces.errors import nearest_name


def explain(error: ValidationError, root: type[BaseModel]) -> str:
    """Return the first problem that a validation of the config `root` found, as one sentence."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        *path, key = first["loc"]
        known = _fields(root, [str(part) for part in path])
        nearest = nearest_name(key, known)
        hint = f" did you mean {nearest!r}?" if nearest else ""
        return f"Unknown key {place!r} in the config;{hint} known here: {', '.join(known)}."
    if first["type"] == "missing":
        return f"The config lacks {place!r}."
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict) else f", but got {_shown(first['input'])}"
    return f"{f'Config key {place!r}' if place else 'The config'}: {message[:1].lower()}{message[1:]}{given}."


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 100 else f"{text[:100]}…"


def _fields(root: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the keys that the section at `path` may have."""
    section: Any = root
    for part in path:
        section = _section(section.model_fields[part].annotation)
    if dataclasses.is_dataclass(section):
        return [field.name for field in dataclasses.fields(section)]
    return [field.alias or name for name, field in section.model_fields.items()]


def _section(annotation: Any) -> Any:
    """Return the section in an annotation such as `PruneConfig | None`."""
    if isinstance(annotation, type):
        return annotation
    return next(_section(part) for part in get_args(annotation) if part is not type(None))
