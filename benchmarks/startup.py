"""Start-up: `python -m benchmarks.startup`. How long `safs --help` takes, and what heavy packages it loads."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

HEAVY = ("torch", "torchvision", "ray", "smac", "optuna", "ConfigSpace", "numpy", "pydantic", "matplotlib")


def main() -> None:
    """Print the median of eleven runs."""
    command = [sys.executable, "-m", "safs", "--help"]
    times = []
    for _ in range(11):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    print(f"safs --help: {median(times):.2f} s (median of {len(times)}; asked: under 0.5 s)")
    code = f"import sys, safs, safs.cli; print(sorted(set(sys.modules) & set({HEAVY})))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    print(f"heavy packages that it loads: {loaded} (asked: none of torch, ray, smac, optuna)")


if __name__ == "__main__":
    main()
