"""The table of baselines for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from safs.report import text
from safs.report.rows import gain, read_rows

if TYPE_CHECKING:
    from rich.table import Table


def baseline_table(summary: Mapping[str, Any]) -> Table:
    """Return the table of invariant 9, one line per row of the summary."""
    from rich.markup import escape
    from rich.table import Table

    rows = read_rows(summary)
    table = Table(
        caption=f"mean ± std over {text.seeds(summary['seeds'])}; gain over vanilla in points; extra parameters"
    )
    table.add_column("Row", no_wrap=True)
    for title in ("Test accuracy", "Gain", "nnz", "Sparsity", "FLOPs", "Extra"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows.values():
        difference = "" if row.name == "vanilla" else text.points(gain(row, rows.get("vanilla")))
        failed = f" ({row.failed} failed)" if row.failed else ""
        table.add_row(
            escape(row.name),
            text.accuracy(row) + failed,
            difference,
            f"{row.nonzero:,}",
            f"{100 * row.sparsity:.1f} %",
            f"{row.flops:,}",
            f"{row.extra_parameters:,}",
            style="bold" if row.name == "safs" else None,
        )
    return table
