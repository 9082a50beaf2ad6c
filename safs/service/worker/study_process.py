"""A study's own process: `python -m safs.service.worker.study_process PIPE NICENESS`, started in the study's folder.

It says on its outputs, which the worker appends to the log, what `safs run` says without a terminal, and tells the
worker over PIPE (an inherited descriptor) how far it is and how it ended. SIGTERM interrupts it.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from safs.interrupts import INTERRUPTED, end, quitting, raising
from safs.service.storage.layout import CONFIG, RUN
from safs.service.worker.said import How, Said, said_of
from safs.service.worker.tie import tie_to_worker
from spaces.errors import SafsError

if TYPE_CHECKING:
    from safs.progress.lines import Lines
    from safs.service.worker.telling import Telling


def main(pipe: int, niceness: int) -> int:
    """Run the study of this folder to its end, and return the exit code."""
    tie_to_worker()
    os.nice(niceness)
    from rich.console import Console

    import safs.study  # noqa: F401 - while a signal still ends this at once: some imports swallow exceptions
    from safs.progress.lines import Lines
    from safs.service.worker.telling import Telling

    lines = Lines(Console(stderr=True), every_epoch=False)
    try:
        with raising(), Telling(pipe, lines) as telling:
            return _run(lines, telling)
    except KeyboardInterrupt:
        print("Interrupted; finished trials are kept.", file=sys.stderr)
        return INTERRUPTED


def _run(lines: Lines, telling: Telling) -> int:
    from rich.console import Console

    from safs.config.schema import Config
    from safs.report.table import baseline_table
    from safs.study import Study

    try:
        summary = Study(Config.from_yaml(Path(CONFIG)), Path(RUN), lines).run(resume=True)
    except SafsError as error:
        print(f"Error: {error}", file=sys.stderr)
        telling.ended(said_of(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, the worker must learn of it
        traceback.print_exc()
        telling.ended(said_of(error))
        return 1
    rows = [{"name": row["name"], "test_accuracy": row["test_accuracy"]} for row in summary["rows"]]
    telling.ended(Said(How.OK, summary={"rows": rows}))
    Console().print(baseline_table(summary))
    return 0


if __name__ == "__main__":
    with quitting():
        end(main(int(sys.argv[1]), int(sys.argv[2])))
