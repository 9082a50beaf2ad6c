"""`safs export`: the found network as one file, in a format that is loaded without a study."""

from safs.exporting.export import Exported, export_run
from safs.exporting.registry import FORMATS

__all__ = ["FORMATS", "Exported", "export_run"]
