"""The section `resources` of a config: where trials run, on what, and for how long."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from safs.config.section import Section
from safs.engines.registry import ENGINES
from spaces.errors import lookup

_SMALLEST_SHARE = 0.01
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ResourcesConfig(Section):
    """Where trials run. What only an engine with workers of its own can do is refused with the inline engine.

    Attributes:
        engine: "inline" runs one trial after the other in this process; "ray" runs them on workers of a Ray cluster.
        device: "auto" takes a GPU if there is one, else "cpu" or "cuda".
        threads: CPU threads per trial; the same number gives the same outcome, another may not.
        address: of a Ray cluster: "auto" for the one that this machine belongs to, "host:port", or "ray://host:port"
            from outside; null starts one on this machine, and ends it.
        workers: how many trials may run at a time, or "max" for as many as the cluster has room for.
        cpus_per_trial: CPU cores that a trial reserves; null for as many as it has threads.
        gpus_per_trial: GPUs that a trial reserves: 1, or 1/k where k trials share one; null for 1 on a GPU, 0 on a CPU.
        trial_timeout: seconds after which a trial is stopped and has failed (TIMEOUT); null for no limit.
        stall_timeout: the same for seconds without a finished training step.
    """

    engine: str = "inline"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=1)] = 1
    address: Annotated[str, Field(min_length=1)] | None = None
    workers: Annotated[int, Field(ge=1)] | Literal["max"] = "max"
    cpus_per_trial: Annotated[int, Field(ge=1)] | None = None
    gpus_per_trial: Annotated[float, Field(ge=0, le=1)] | None = None
    trial_timeout: _Seconds | None = None
    stall_timeout: _Seconds = 600.0

    @property
    def own_device(self) -> str:
        """The device that this process computes on, where trials are trained by others."""
        return self.device if self.engine == "inline" else "cpu"

    @field_validator("engine")
    @classmethod
    def _known_engine(cls, name: str) -> str:
        lookup("engine", name, ENGINES)
        return name

    @field_validator("gpus_per_trial")
    @classmethod
    def _whole_share(cls, share: float | None) -> float | None:
        if share and share < _SMALLEST_SHARE:
            raise ValueError(f"must be at least {_SMALLEST_SHARE}")
        if share and not math.isclose(1 / share, round(1 / share), rel_tol=0.02):
            raise ValueError("must be 0, 1, or 1/k for a whole k, such as 0.5 or 0.25")
        return share

    @model_validator(mode="after")
    def _fitting(self) -> ResourcesConfig:
        if self.engine == "inline":
            for name in ("address", "workers", "cpus_per_trial", "gpus_per_trial", "trial_timeout", "stall_timeout"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"`{name}` is for engines with workers of their own; set `engine: ray`, too")
        if self.cpus_per_trial is not None and self.cpus_per_trial < self.threads:
            raise ValueError("`threads` must not exceed `cpus_per_trial`, or trials fight over the cores")
        if self.gpus_per_trial == 0 and self.device == "cuda":
            raise ValueError("`device: cuda` needs `gpus_per_trial`: 1, or 1/k where k trials share a GPU")
        if self.gpus_per_trial and self.device == "cpu":
            raise ValueError("`gpus_per_trial` is for `device: cuda` or auto")
        return self
