"""What is wrong with a config, in one sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from spaces.errors import nearest_name


def place(error: ValidationError, root: type[BaseModel]) -> str:
    """Return the key that the first problem is about, with dots between sections; "" for the config as a whole."""
    return ".".join(map(str, _path(error.errors()[0]["loc"], root)))


def explain(error: ValidationError, root: type[BaseModel]) -> str:
    """Return the first problem that a validation of the config `root` found, as one sentence."""
    first, where = error.errors()[0], place(error, root)
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        *path, key = first["loc"]
        known = _fields(root, path)
        nearest = nearest_name(key, known)
        hint = f" did you mean {nearest!r}?" if nearest else ""
        return f"Unknown key {where!r} in the config;{hint} known here: {', '.join(known)}."
    if first["type"] == "missing":
        return f"The config lacks {where!r}."
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict) else f", but got {_shown(first['input'])}"
    return f"{f'Config key {where!r}' if where else 'The config'}: {message[:1].lower()}{message[1:]}{given}."


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 100 else f"{text[:100]}…"


def _path(location: Sequence[int | str], root: type[BaseModel]) -> list[int | str]:
    """Return a location without what pydantic adds to it: which of several types a value was compared with."""
    kept: list[int | str] = []
    section: Any = root
    for part in location:
        if isinstance(part, int):
            kept.append(part)
        elif section is not None:
            kept.append(part)
            section = _section_at(section, part)
    return kept


def _fields(root: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Return the keys that the section at `path` may have."""
    section: Any = root
    for part in path:
        section = section if isinstance(part, int) else _section_at(section, part)
    if dataclasses.is_dataclass(section):
        return [field.name for field in dataclasses.fields(section)]
    return [field.alias or name for name, field in section.model_fields.items()]


def _section_at(section: Any, key: str) -> Any:
    """Return the section that stands at a key of a section, or None if a value does."""
    field = None if dataclasses.is_dataclass(section) else section.model_fields.get(key)
    return _section(field.annotation) if field is not None else None


def _section(annotation: Any) -> Any:
    """Return the section in an annotation such as `PruneConfig | None`, or None."""
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation) else None
    return next(filter(None, map(_section, get_args(annotation))), None)
