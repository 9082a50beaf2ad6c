"""Write the report of a finished study to its run directory."""

from __future__ import annotations

from pathlib import Path


def write_report(folder: Path) -> Path:
    """Write `figures/*.png` and a self-contained `report.html` to a run directory, and return the latter's path.

    Only the run directory is read: no data set, no training, so it works on another machine than the study's.

    Raises:
        SafsError: if the study has not ended, something in its run directory is missing or damaged, or the report
            cannot be written.
    """
    from safs.files import write_atomically
    from safs.report.collect import collect
    from safs.report.figures import draw_all
    from safs.report.render import render
    from spaces.errors import SafsError

    run = collect(Path(folder))
    pictures = draw_all(run)
    path = run.folder / "report.html"
    page = render(run, pictures)
    try:
        for picture in pictures:
            write_atomically(run.folder / "figures" / f"{picture.name}.png", picture.png)
        write_atomically(path, page)
    except OSError as error:
        raise SafsError(f"The report cannot be written to {run.folder}: {error.strerror or error}.") from error
    return path
