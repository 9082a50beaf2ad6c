"""The config of a study: one YAML file, checked as a whole before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from safs.config.compare import CompareConfig
from safs.config.resources import ResourcesConfig
from safs.config.section import ConfigError, Plain, Section, concerning
from safs.config.yaml_input import lay_over, named, read_yaml
from safs.data.placement import Residence
from safs.data.registry import check_name
from safs.masks import SMALLEST_ZERO_SHARE
from safs.protocol import Protocol
from safs.pruning.registry import make_method, resolve_scope
from searchers.registry import all_options
from spaces.errors import SafsError, UnknownNameError
from spaces.operators import PAPER_OPERATORS, get_operator


def _check_protocol(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """Read a protocol, and say of which section an error is."""
    section = "model.pretrain" if info.field_name == "pretrain" else info.field_name
    if isinstance(value, dict):
        for key in value:
            if isinstance(value[key], bool):
                where = f"{section}.{key}"
                raise ConfigError(f"Config key {where!r}: must not be true or false.", where)
    try:
        return check(value)
    except SafsError as error:
        where = f"{section}.{error.kind}" if isinstance(error, UnknownNameError) else str(section)
        raise ConfigError(f"Config section {section!r}: {error}", where) from None


_Protocol = Annotated[Protocol, WrapValidator(_check_protocol), PlainSerializer(Protocol.to_json)]


class ModelConfig(Section):
    """Which network, and where its weights come from.

    Without a checkpoint the dense network is trained first, by the protocol `pretrain`.

    Attributes:
        mask: a file with the checkpoint's mask, where neither the checkpoint nor its zeros are to say it.
        min_zero_share: the share of zeros among the prunable weights from which on a checkpoint counts as pruned; 0
            for one that is pruned by structure, whose smaller layers may have no zero at all.
    """

    name: str
    kwargs: Plain = Field(default_factory=dict)
    checkpoint: Path | None = None
    mask: Path | None = None
    min_zero_share: Annotated[float, Field(ge=0, le=1)] = SMALLEST_ZERO_SHARE
    trust_pickle: bool = False
    pretrain: _Protocol | None = None

    @model_validator(mode="after")
    def _has_weights(self) -> ModelConfig:
        if (self.checkpoint is None) == (self.pretrain is None):
            raise ValueError("give either `checkpoint`, a file, or `pretrain`, a protocol to train the dense network")
        if self.mask is not None and self.checkpoint is None:
            raise ValueError("`mask` is a file with the mask of a checkpoint; give `checkpoint`, too")
        return self


class AugmentConfig(Section):
    """What training images go through: `crop`, pixels of black padding of which a window is cut, and mirroring."""

    crop: Annotated[int, Field(ge=0)] = 0
    flip: bool = False


class DataConfig(Section):
    """Which data set, and how it is read and held.

    Attributes:
        name: digits, mnist, cifar10, imagenet16, imagenet32, imagenet64, imagefolder, parquet, `torchvision/NAME` or
            `package.module:factory`.
        root: the folder it lies in (default: `$SAFS_DATA_ROOT`, else `./data`); a factory that has an argument `root`
            gets it, if it is set here.
        kwargs: arguments of a factory or of torchvision's class; for parquet, `train`, `test` (patterns of files) and
            `label` (a column).
        image_size: height and width that all images are resized to.
        augment: what training images go through; null for nothing.
        trust_pickle: whether data files may be opened that are pickles; for imagenet16, imagenet32 and imagenet64.
        resident: where images are held: on the "device", on the "host", from where they are streamed, or "auto", on
            the device if they take at most half of its free memory.
    """

    name: str
    root: Path | None = None
    kwargs: Plain = Field(default_factory=dict)
    image_size: Annotated[int, Field(ge=1)] | None = None
    augment: AugmentConfig | None = None
    trust_pickle: bool = False
    resident: Residence = "auto"

    @field_validator("name")
    @classmethod
    def _known_dataset(cls, name: str) -> str:
        check_name(name)
        return name


class PruneConfig(Section):
    """How a dense checkpoint is pruned; `prune: null` where the checkpoint is pruned already.

    Attributes:
        ratio: the share of weights to remove.
        method, options: the algorithm and its own options, such as `rounds` of imp.
        scope: "layer" or "global", for magnitude (default: layer) and random; the others have none.
    """

    ratio: Annotated[float, Field(ge=0, lt=1)] = 0.99
    method: str = "magnitude"
    scope: Literal["layer", "global"] | None = Field(default=None, validate_default=True)
    options: Plain = Field(default_factory=dict)

    @field_validator("method")
    @classmethod
    def _known_method(cls, name: str) -> str:
        make_method(name)
        return name

    @field_validator("scope")
    @classmethod
    def _fitting_scope(cls, scope: str | None, info: ValidationInfo) -> str | None:
        with concerning("prune.scope"):
            return resolve_scope(info.data["method"], scope) if "method" in info.data else scope

    @model_validator(mode="after")
    def _fitting_options(self) -> PruneConfig:
        with concerning("prune.options"):
            make_method(self.method, self.options)
        return self


class Stage1Config(Section):
    """The search over operators.

    Attributes:
        searcher, options: the algorithm and its own options, such as `history` of lahc, the paper's. The default is the
            best of those that `safs compare` compared on the table lenet5-digits.
        iterations: evaluations that the searcher may spend; outcomes that are known already are free.
        epochs: the fidelity: epochs of the vanilla protocol per evaluation.
        finalists: the best assignments that are trained once more, for all epochs of the vanilla protocol, before one
            is chosen, the best single operator among them; 1 takes the searcher's best as it is (the paper's).
        fitness: what is minimised: "train_loss" (the paper's), or "validation_loss" on a held-out fifth.
        operators: what may stand at a site.
        start: "uniform" starts from the best single operator everywhere, "random" from a random assignment (the
            paper's).
        pending: how many suggestions wait for their outcome at a time; with 1, sequential searchers are what their
            papers say. The result depends on this number, never on which trial ends first.
    """

    searcher: str = "surrogate"
    options: Plain = Field(default_factory=dict)
    iterations: Annotated[int, Field(ge=1)] = 20
    epochs: Annotated[int, Field(ge=1)] = 3
    finalists: Annotated[int, Field(ge=1)] = 4
    fitness: Literal["train_loss", "validation_loss"] = "train_loss"
    operators: tuple[str, ...] = PAPER_OPERATORS
    start: Literal["uniform", "random"] = "uniform"
    pending: Annotated[int, Field(ge=1)] = 1

    @field_validator("operators")
    @classmethod
    def _known_operators(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            get_operator(name)
        if not names or len(set(names)) != len(names):
            raise ValueError("needs at least one operator, and each only once")
        return names

    @model_validator(mode="after")
    def _fitting_options(self) -> Stage1Config:
        with concerning("stage1.options"):
            all_options(self.searcher, self.options)
        return self


class Stage2Config(Section):
    """The search over hyperparameters, with learned α, β.

    Attributes:
        trials: configurations that SMAC may try, each on every fold.
        folds: k of the k-fold cross-validation; the score is the mean over folds.
        epochs: epochs per fold, or null for those of the vanilla protocol.
        scales: learn one α, β per "site" or per "channel".
        pending: how many configurations of one search wait for their score at a time; the result depends on it.
    """

    trials: Annotated[int, Field(ge=1)] = 12
    folds: Annotated[int, Field(ge=2)] = 3
    epochs: Annotated[int, Field(ge=1)] | None = None
    scales: Literal["site", "channel"] = "site"
    pending: Annotated[int, Field(ge=1)] = 1


class ReportConfig(Section):
    """The final rows: how many seeds each is trained with."""

    seeds: Annotated[int, Field(ge=1, le=2**16)] = 3


class Config(Section):
    """A whole study. `train` is the vanilla protocol: what all rows of the report but the tuned ones use."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    seed: Annotated[int, Field(ge=0, lt=2**32 - 2**16)] = 0  # SMAC takes 32 bits; repetitions count on from it
    model: Annotated[ModelConfig, BeforeValidator(named)]
    data: Annotated[DataConfig, BeforeValidator(named)]
    prune: PruneConfig | None = None
    train: _Protocol
    stage1: Stage1Config = Stage1Config()
    stage2: Stage2Config = Stage2Config()
    resources: ResourcesConfig = ResourcesConfig()
    report: ReportConfig = ReportConfig()
    compare: CompareConfig = CompareConfig()

    @model_validator(mode="after")
    def _is_pruned(self) -> Config:
        if self.model.pretrain is not None and self.prune is None:
            raise ValueError("a network that is trained by `model.pretrain` must be pruned too; set `prune.ratio`")
        return self

    @classmethod
    def from_yaml(cls, path: Path, settings: Sequence[str] = ()) -> Config:
        """Return the config in a YAML file, with `settings` such as "stage1.iterations=5" laid over it.

        Raises:
            SafsError: if the file is missing, is no YAML mapping, or holds something wrong.
        """
        values = read_yaml(path)
        for setting in settings:
            lay_over(values, setting)
        return cls.from_mapping(values)

    def to_yaml(self) -> str:
        """Return the config as YAML, every default written out."""
        values = self.model_dump(mode="json", by_alias=True)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
