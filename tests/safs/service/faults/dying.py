"""Runs `safs`, and kills it at a chosen point: `python dying.py FILE POINT... -- ARGUMENTS`.

A point is "module:name before" or "module:name after": SIGKILL comes before or after the first call of that function
once FILE holds the point's text.
"""

import functools
import importlib
import os
import signal
import sys
from pathlib import Path

from safs.cli import main


def set_trap(file, point):
    place, when = point.split(" ")
    module, _, name = place.partition(":")
    *path, last = name.split(".")
    owner = importlib.import_module(module)
    for part in path:
        owner = getattr(owner, part)
    whole = getattr(owner, last)

    def die(moment):
        if moment == when and file.exists() and file.read_text() == point:
            os.kill(os.getpid(), signal.SIGKILL)

    @functools.wraps(whole)
    def dying(*arguments, **named):
        die("before")
        result = whole(*arguments, **named)
        die("after")
        return result

    setattr(owner, last, dying)


if __name__ == "__main__":
    file, *points = sys.argv[1 : sys.argv.index("--")]
    for point in points:
        set_trap(Path(file), point)
    sys.argv = ["safs", *sys.argv[sys.argv.index("--") + 1 :]]
    main()
