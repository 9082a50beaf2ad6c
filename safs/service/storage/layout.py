"""The names of a study's files, in the folder where it runs.

config.yaml                what is to run; paths in it are relative to this folder
input/checkpoint.*, mask.* what was uploaded, under names of ours
run/                       the run directory: journal, trials, results (the artifacts)
log.txt                    what the study said
"""

from __future__ import annotations

RUN = "run"
LOG = "log.txt"
CONFIG = "config.yaml"
INPUT = "input"
JOURNAL = "run/journal.jsonl"
OWNER = ".service"
"""Beside the folders of all studies: the id of the service that they belong to."""
