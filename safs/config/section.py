"""What the sections of a config have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from safs.config.wording import explain, place
from spaces.errors import SafsError

_LARGEST_VALUE = 10_000


class ConfigError(SafsError):
    """A config with a wrong key or value.

    Args:
        sentence: what is wrong.
        key: where, with dots between sections; "" for the config as a whole.
    """

    def __init__(self, sentence: str, key: str) -> None:
        super().__init__(sentence)
        self.key = key


@contextmanager
def concerning(key: str) -> Iterator[None]:
    """Say of errors that name no key themselves which one they are about."""
    try:
        yield
    except SafsError as error:
        if type(error) is not SafsError:
            raise
        raise ConfigError(str(error), key) from error


class Section(BaseModel):
    """Refuses unknown keys, and true and false where a number is meant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise ValueError("must not be true or false")
        return value

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the config, or the section of one, with these values.

        Raises:
            ConfigError: naming the first wrong key; for an unknown one, the nearest that is known.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(explain(error, cls), place(error, cls)) from None


def _plain(value: Any) -> Any:
    """Check that a value of the user's own is what YAML and JSON can both hold, and small: aliases hide millions."""
    waiting, seen = [value], 0
    while waiting:
        part = waiting.pop()
        seen += 1
        if seen > _LARGEST_VALUE:
            raise ValueError(f"must hold at most {_LARGEST_VALUE:,} values, aliases counted each time")
        if isinstance(part, dict):
            if not all(isinstance(key, str) for key in part):
                raise ValueError("must have only strings for keys")
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
        elif not isinstance(part, str | int | float | None):
            raise ValueError(f"must hold only strings, numbers, lists and mappings, not a {type(part).__name__}")
    return value


Plain = Annotated[dict[str, Any], AfterValidator(_plain)]
"""A mapping of the user's own: what YAML and JSON can both hold."""
