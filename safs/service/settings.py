"""What whoever runs the service decides: where things lie, what is allowed, and how much."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from safs.config.section import Section
from safs.config.yaml_input import read_yaml
from safs.service.machine import memory
from spaces.errors import SafsError

_Bytes = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Limits(Section):
    """What a study or a request may take.

    Attributes:
        upload_bytes: of a checkpoint, and of a mask.
        queued: how many studies of a token may wait, and how many of its uploads be under way.
        study_seconds: how long a study may run without a pause; None for as long as it takes.
        study_memory: bytes that a study's processes on the worker's machine may use together, by default 80 % of what
            that machine (or container) has; None for no limit.
        study_disk: bytes that a study's files may take.
        admission_seconds, admission_memory: the same for the check of what was submitted, of which two may run beside
            the server; by default a quarter of the server's memory each.
    """

    upload_bytes: _Bytes = 2 * 2**30
    queued: Annotated[int, Field(ge=0)] = 100
    study_seconds: _Seconds | None = 7 * 86_400.0
    study_memory: _Bytes | None = Field(default_factory=lambda: memory() * 4 // 5)
    study_disk: _Bytes = 20 * 2**30
    admission_seconds: _Seconds = 120.0
    admission_memory: _Bytes = Field(default_factory=lambda: memory() // 4)


class ServiceSettings(Section):
    """The service's settings, one YAML file that servers and workers share.

    Attributes:
        database: SQLAlchemy's URL; None for SQLite in the home. `$SAFS_DATABASE` stands before it, so that a password
            need not lie in a file.
        storage: where the studies' files are kept: a folder, or an fsspec URL such as s3://bucket/folder, for workers
            that share no disk; None for a folder in the home. `$SAFS_STORAGE` stands before it. What else a URL's
            package needs, fsspec reads from `$FSSPEC_*`, and most packages from their own, such as `$AWS_*`.
        carry_seconds: how often the files of a study that runs are taken to a storage that is no folder; what is newer
            is lost with its machine, and run again.
        data_roots: the folders that `data.root` of a study may lie in, and `$SAFS_DATA_ROOT`, where studies read that
            name none.
        factories: the `package.module:factory` names that studies may use.
        engine, address: where all trials run, as in a config's `resources`; studies cannot say it.
        concurrency: how many studies a worker runs at a time.
        niceness: how far studies stand back behind the server and the worker, which need little, but at once.
        lease_seconds: after so long without a sign of life a worker is lost.
        limits: what a study may take.
    """

    database: SecretStr | None = None
    storage: SecretStr | None = None
    carry_seconds: Annotated[float, Field(ge=0.1, allow_inf_nan=False)] = 5.0
    data_roots: tuple[Path, ...] = ()
    factories: tuple[str, ...] = ()
    engine: Literal["inline", "ray"] = "inline"
    address: str | None = None
    concurrency: Annotated[int, Field(ge=1)] = 1
    niceness: Annotated[int, Field(ge=0, le=19)] = 10
    lease_seconds: Annotated[float, Field(ge=2, allow_inf_nan=False)] = 30.0
    limits: Limits = Limits()

    @classmethod
    def read(cls, path: Path | None) -> ServiceSettings:
        """Return the settings in a YAML file, or the defaults, with what the environment says.

        Raises:
            SafsError: if the file is missing, or holds something wrong.
        """
        values = read_yaml(path) if path is not None else {}
        for name in ("database", "storage"):
            if (variable := f"SAFS_{name.upper()}") in os.environ:
                values[name] = os.environ[variable]
        settings = cls.from_mapping(values)
        for root in settings.data_roots:
            if not root.is_dir():
                raise SafsError(f"`data_roots` names {root}, which is no folder.")
        return settings
