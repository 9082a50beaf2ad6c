"""What admission looks at; imported once, by the process that is forked for every check."""

from __future__ import annotations

import os
from pathlib import Path

import sklearn.datasets  # noqa: F401 - what the data sets would import one by one, in every check

from safs.config.schema import Config
from safs.pipeline.prepare import untrained
from safs.pipeline.start import PrunedAlreadyError, read_start


def check(folder: Path) -> Config:
    """Check that a study can be run: its config, its checkpoint in its network, its data.

    Args:
        folder: holds `config.yaml`, whose paths are relative to it.

    Returns:
        The config as it is to run: without `prune`, if the checkpoint is pruned already.

    Raises:
        SafsError: if something is wrong, as `safs run` would say it.
    """
    os.chdir(folder)
    config = Config.from_yaml(Path("config.yaml"))
    try:
        read_start(config)
    except PrunedAlreadyError:
        config = config.model_copy(update={"prune": None})
        read_start(config)
    untrained(config)
    return config
