"""From a run directory to one file: folded, written, read back and compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safs.config.schema import Config
from safs.export import Best, read_best
from safs.exporting.base import Source
from safs.exporting.checks import Difference, check_folding, check_loads, check_weights, compare
from safs.exporting.new_file import check_free, new_file
from safs.exporting.own_class import OwnClass, own_class
from safs.exporting.registry import FORMATS
from safs.folding import Folded, fold
from safs.storage import storing
from spaces.errors import SafsError, lookup


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        size: the bytes of the file.
        masked: how many weights of the network have a mask, which the file holds exactly.
        difference: from the network that the study left.
        folded: what became of α and β, or None if they were to stay.
        snippet: three lines of Python that load the file.
    """

    size: int
    masked: int
    difference: Difference
    folded: Folded | None
    snippet: str


def export_run(run_dir: Path, format_name: str, out: Path, *, folding: bool = True) -> Exported:
    """Write the network that a study found to one new file, and check what was written.

    The network is built as `safs run` did, by the config in the run directory: a factory that it names is imported.

    Args:
        run_dir: the run directory.
        format_name: a key of `FORMATS`.
        out: the file; it must not exist.
        folding: whether α and β become part of the layers around them, wherever that is exact.

    Raises:
        SafsError: if the study has no result yet, folding changes what the network computes, the file cannot be made,
            or is not what it should be.
        UnknownNameError: if there is no such format.
    """
    form = lookup("format", format_name, FORMATS)()
    form.check()
    check_free(out, form.suffix)
    best, config, own = _read(run_dir)
    folded = fold(best.network, best.input_shape, best.sites.names) if folding else None
    network = folded.network if folded is not None else best.network
    if folded is not None:
        check_folding(best.network, network, best.input_shape)
    source = Source(best, network, config.model.name, config.model.kwargs, own)
    content = form.to_bytes(source)
    with storing(out), new_file(out, content) as written:
        read = form.read_back(written, source)
        check_weights(source, read)
        check_loads(source, read)
        difference = compare(best.network, read, best.input_shape)
    return Exported(len(content), len(best.mask), difference, folded, form.snippet(out, source))


def _read(run_dir: Path) -> tuple[Best, Config, OwnClass]:
    """Return what a study found, its config, and the class of its network."""
    if not run_dir.is_dir():
        raise SafsError(f"{run_dir} is a file." if run_dir.exists() else f"There is no run directory at {run_dir}.")
    recorded = run_dir / "config.yaml"
    if not recorded.is_file():
        raise SafsError(f"{run_dir} is no run directory: it has no config.yaml.")
    if not (run_dir / "best").is_dir():
        raise SafsError(
            f"The study in {run_dir} has not ended; safs run {recorded} --run-dir {run_dir} --resume ends it."
        )
    config = Config.from_yaml(recorded)
    own = own_class(config.model.name, config.model.kwargs, seed=config.seed)
    return read_best(run_dir / "best", own.network), config, own
