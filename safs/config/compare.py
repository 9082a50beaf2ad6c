"""The section of a config that says which searchers are compared."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from safs.config.section import ConfigError, Plain, Section
from searchers.registry import all_options
from spaces.errors import SafsError

_LONGEST_LABEL = 60


class ContestantConfig(Section):
    """One searcher with its options; in YAML its name alone is enough.

    Attributes:
        searcher, options: the algorithm and its own options, such as `history` of LAHC.
        label: what it is called in results, by default "lahc" or "lahc (history 10)"; one printable line.
    """

    searcher: str
    options: Plain = Field(default_factory=dict)
    label: Annotated[str, Field(min_length=1, max_length=_LONGEST_LABEL)] = ""

    @model_validator(mode="before")
    @classmethod
    def _labelled(cls, values: Any) -> Any:
        if isinstance(values, str):
            values = {"searcher": values}
        if not isinstance(values, dict) or values.get("label") or not isinstance(values.get("searcher"), str):
            return values
        options = values.get("options") or {}
        shown = ", ".join(f"{key} {value}" for key, value in options.items()) if isinstance(options, dict) else ""
        label = f"{values['searcher']} ({shown})" if shown else values["searcher"]
        if shown and (len(label) > _LONGEST_LABEL or not label.isprintable()):
            raise ValueError("its options make no label of one short line; give it one, such as `label: mine`")
        return values | {"label": label}

    @field_validator("label")
    @classmethod
    def _printable_label(cls, label: str) -> str:
        if not label.isprintable() or not label.strip():
            raise ValueError("must be printable characters on one line")
        return label

    @model_validator(mode="after")
    def _fitting_options(self) -> ContestantConfig:
        try:
            all_options(self.searcher, self.options)
        except SafsError as error:
            said = f"Contestant {self.label!r} of compare.searchers: {error}"
            raise ConfigError(said, "compare.searchers") from error
        return self


class CompareConfig(Section):
    """Which searchers `safs compare` compares; what each may spend and starts from is stage 1's.

    Attributes:
        searchers: names, or mappings with `searcher`, `options` and `label`.
        seeds: how many seeds, from the study's own on; each searcher runs once with each. At most 2,000: what is said
            of two searchers looks at every pair of their runs.
    """

    searchers: tuple[ContestantConfig, ...] = tuple(
        ContestantConfig.model_validate(name) for name in ("lahc", "sa", "rs", "bo")
    )
    seeds: Annotated[int, Field(ge=1, le=2000)] = 3

    @field_validator("searchers")
    @classmethod
    def _different_labels(cls, searchers: tuple[ContestantConfig, ...]) -> tuple[ContestantConfig, ...]:
        labels = [contestant.label for contestant in searchers]
        if not labels or len(set(labels)) != len(labels):
            raise ValueError("needs at least one searcher, and each label only once")
        return searchers

    @field_validator("searchers")
    @classmethod
    def _different_searchers(cls, searchers: tuple[ContestantConfig, ...]) -> tuple[ContestantConfig, ...]:
        labels: dict[str, str] = {}
        for each in searchers:
            key = json.dumps([each.searcher, all_options(each.searcher, each.options)])
            if key in labels:
                raise ConfigError(
                    f"The contestants {labels[key]!r} and {each.label!r} of compare.searchers are the same searcher "
                    "with the same options, defaults included, and cannot differ; leave one out.",
                    "compare.searchers",
                )
            labels[key] = each.label
        return searchers
