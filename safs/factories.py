"""The user's own code, named `package.module:factory`: found here, and run so that whatever it raises is one line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safs.out_of_memory import out_of_memory
from spaces.errors import SafsError, brief


def find_factory(kind: str, name: str) -> Callable[..., Any]:
    """Return what `package.module:factory` names; the module is also looked for in the current directory.

    Args:
        kind: what the factory makes, for errors: "Model" or "Dataset".
        name: the module, a colon, and the name of a callable in it.

    Raises:
        SafsError: if the module cannot be imported, or has no such callable.
    """
    module_name, _, attribute = name.partition(":")
    # A console script does not search the current directory as `python -m` does. Last, so that a file there cannot
    # shadow an installed package.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    with users_code(f"{kind} {name!r}: cannot import {module_name!r}"):
        module = importlib.import_module(module_name)
    factory: Callable[..., Any] | None = getattr(module, attribute, None)
    if not callable(factory):
        found = "is not callable" if factory is not None else "does not exist"
        raise SafsError(f"{kind} {name!r}: {attribute!r} {found} in {getattr(module, '__file__', module_name)}.")
    return factory


@contextmanager
def users_code(what: str) -> Iterator[None]:
    """Run the user's code, and make one line of what it raises.

    Args:
        what: what has failed then; the line begins with it.

    Raises:
        SafsError: if the code raises anything but an interrupt, or ends the program; one of its own as it is.
    """
    try:
        yield
    except SafsError:
        raise
    except SystemExit as error:
        raise SafsError(
            f'{what}: it called sys.exit({error.code!r}); do that under `if __name__ == "__main__":` only.'
        ) from error
    except Exception as error:
        said = f": {brief(error)}" if str(error).strip() else ""
        if out_of_memory(error):
            raise SafsError(f"{what}: there is not enough memory for it here{said}") from error
        raise SafsError(f"{what}: {type(error).__name__}{said}") from error
