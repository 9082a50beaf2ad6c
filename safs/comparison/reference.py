"""A comparison that another one is held against: read as a whole before anything is run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from spaces.errors import SafsError, brief


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable characters on one line")
    return text


_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1, le=10**9)]
_Line = Annotated[str, Field(max_length=1000), AfterValidator(_printable)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Landscape(_Part):
    name: _Line


class _Setting(_Part):
    seeds: Annotated[list[int], Field(min_length=1)]
    iterations: _Count
    epochs: _Count
    fitness: Literal["train_loss", "validation_loss"]
    start: Literal["uniform", "random"]
    pending: _Count


class _Run(_Part):
    incumbent: Annotated[list[_Finite | None], Field(min_length=1)]


class _Searcher(_Part):
    label: _Line
    searcher: _Line
    options: dict[str, Any]
    runs: list[_Run]


class _Comparison(_Part):
    """What `agreement` and the sentences about it read of another comparison."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    landscape: _Landscape
    setting: _Setting
    searchers: Annotated[list[_Searcher], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_whole(self) -> _Comparison:
        labels = [each.label for each in self.searchers]
        if len(set(labels)) < len(labels):
            raise ValueError("a label stands there twice")
        if any(len(each.runs) != len(self.setting.seeds) for each in self.searchers):
            raise ValueError("a searcher has another number of runs than there are seeds")
        return self


def read_comparison(folder: Path) -> dict[str, Any]:
    """Return the comparison in a run directory.

    Raises:
        SafsError: if there is none, or it is damaged.
    """
    path = folder / "comparison.json"
    try:
        content = path.read_bytes()
        _Comparison.model_validate_json(content)
        result: dict[str, Any] = json.loads(content)
    except OSError as error:
        raise SafsError(f"{path} cannot be read ({error.strerror}); give the run directory of a comparison.") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SafsError(_damaged(path, f"{_place(first['loc'])}{first['msg'].removeprefix('Value error, ')}")) from None
    except (ValueError, RecursionError) as error:
        raise SafsError(_damaged(path, brief(error))) from None
    return result


def _place(location: Sequence[int | str]) -> str:
    """Return for example "`setting.seeds.0`: ", as it may be printed."""
    path = ".".join(str(part) for part in location)
    return f"`{brief(ValueError(path))}`: " if path else ""


def _damaged(path: Path, what: str) -> str:
    return f"{path} is no comparison, or damaged ({what}); `safs compare --resume` writes it anew."
