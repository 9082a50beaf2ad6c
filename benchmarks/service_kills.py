"""What 100 kills of the service's processes cost: nothing that was acknowledged.

    python -m benchmarks.service_kills [--kills 100] [--seed 0]

A real server with its worker on SQLite, four clients, SIGKILL at moments drawn from the seed (see
`benchmarks.service_faults`). Asked: nothing lost, nothing false, every summary that of an undisturbed run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.service_faults import disturb


def main() -> None:
    """Kill and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="safs-kills-") as folder:
        found = disturb(Path(folder), options.kills, options.seed)
    table = Table("what", "asked", "got", title=f"SIGKILL, seed {options.seed}, SQLite, inline engine")
    victims = ", ".join(f"{name} {count}" for name, count in sorted(found.kills.items()))
    changes = ", ".join(f"{name} {count}" for name, count in sorted(found.changes.items()))
    table.add_row("kills", str(options.kills), f"{found.kills.total()} ({victims})")
    table.add_row("submissions acknowledged", "", str(found.acknowledged))
    table.add_row("changes asked for", "", changes)
    table.add_row("lost, or twice", "0", str(len(found.lost)))
    table.add_row("studies run to their end", "", str(found.finished))
    table.add_row("states and files that were not true", "0", str(len(found.false)))
    table.add_row("summaries or trials that were different", "0", str(len(found.different)))
    table.add_row("minutes", "", f"{(time.monotonic() - began) / 60:.1f}")
    Console().print(table)
    wrong = [*found.lost, *found.false, *found.different]
    for sentence in wrong:
        print(sentence)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
