"""The command line. Nothing heavy is imported here: `safs --help` must answer at once."""

from safs.cli.app import main

__all__ = ["main"]
