"""What admission looks at; imported once, by the process that is forked for every check."""

from __future__ import annotations

import os
from pathlib import Path

import sklearn.datasets  # noqa: F401 - what the data sets would import one by one, in every check

from safs.config.schema import Config
from safs.config.section import concerning
from safs.device import pick_device
from safs.pipeline.prepare import untrained
from safs.pipeline.start import PrunedAlreadyError, read_start


def read_config(folder: Path, *, runs_here: bool) -> Config:
    """Return the config of a study, and go where its paths begin.

    Args:
        folder: holds `config.yaml`.
        runs_here: the study will run on this machine, which must have the device that the config names.

    Raises:
        SafsError: if something is wrong, as `safs run` would say it.
    """
    os.chdir(folder)
    config = Config.from_yaml(Path("config.yaml"))
    if runs_here and config.resources.own_device == "cuda":
        with concerning("resources.device"):
            pick_device("cuda")
    return config


def check(config: Config) -> Config:
    """Check that a study can be run: its checkpoint in its network, its data. All on the CPU: a GPU may be in use.

    Returns:
        The config as it is to run: without `prune`, if the checkpoint is pruned already.

    Raises:
        SafsError: if something is wrong, as `safs run` would say it.
    """
    try:
        read_start(config)
    except PrunedAlreadyError:
        config = config.model_copy(update={"prune": None})
        read_start(config)
    untrained(config, device="cpu")
    return config
