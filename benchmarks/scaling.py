"""How well the Ray engine uses its workers: python -m benchmarks.scaling

Prints
- what the engine costs per trial on a warm worker, beside the trial itself (asked: below 50 ms), and whether its
  outcomes are those of the inline engine, bit by bit;
- trials per hour of two workers against one, on trainings (asked: 1.8 times);
- the share of time that 4, 16 and 64 workers are busy with simulated trials (see `benchmarks.simulated`) in a stage 1
  with as many suggestions pending as workers, up to where its last trial begins (asked: 95, 90 and 85 %).

What bounds the last is printed beside it: outcomes are told in the order in which trials were asked for, so workers
wait for the oldest. `bound` is what an engine without any cost reaches in that order. They do not wait where more
suggestions are pending than there are workers, or trials are in the background that no search waits for, as in a study.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.simulated import MEAN_S, SIGMA, seconds, simulate
from safs.config.resources import ResourcesConfig
from safs.engines.cluster.engine import RayEngine
from safs.engines.cluster.worker import TrialFunction
from safs.engines.testing import RELU, problems, without_time
from safs.journal import Journal
from safs.observer import Observer, Silent
from safs.runner import Runner
from safs.search import TrialEvaluator, search
from safs.spec import TrialSpec
from safs.strands import run_strands
from safs.trial import run_trial
from searchers.registry import make_searcher
from spaces.assignment import AssignmentSpace
from spaces.operators import PAPER_OPERATORS

PER_WORKER = 8
"""Simulated trials for each worker."""
SITES = 4
ASKED = {4: 95, 16: 90, 64: 85}


def spec_of(assignment: Sequence[str]) -> TrialSpec:
    return replace(RELU, assignment=tuple(assignment))


@contextmanager
def cluster(cpus: int) -> Iterator[None]:
    """Give a cluster of this machine that believes to have so many cores."""
    import ray

    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with tempfile.TemporaryDirectory(prefix="safs-ray-", ignore_cleanup_errors=True) as folder:
        options: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "_temp_dir": folder}
        ray.init(address="local", num_cpus=cpus, logging_level=logging.CRITICAL, **options)
        try:
            yield
        finally:
            ray.shutdown()


class Seen(Silent):
    """Notes which workers have run a trial."""

    def __init__(self, other: Observer) -> None:
        self.other = other
        self.workers: set[str] = set()

    def started(self, spec: TrialSpec, worker: str) -> None:
        self.workers.add(worker)
        self.other.started(spec, worker)


@contextmanager
def running(
    workers: int, observer: Observer | None = None, trial: TrialFunction = run_trial
) -> Iterator[tuple[RayEngine, Path]]:
    """Give an engine all of whose workers are warm, and a folder."""
    with tempfile.TemporaryDirectory() as name:
        folder, seen = Path(name), Seen(observer or Silent())
        resources = ResourcesConfig(engine="ray", workers=workers)
        engine = RayEngine(resources, lambda spec: folder / spec.id / "log.txt", seen, trial)
        try:
            if trial is run_trial:
                for network, problem in problems().items():
                    engine.add_problem(network, problem)
            for number in itertools.count():
                if len(seen.workers) == workers:
                    break
                engine.submit(replace(RELU, study_seed=10**6 + number))
                if number >= workers:
                    engine.poll()
            while engine.poll() is not None:
                pass
            yield engine, folder
        finally:
            engine.close()


def overhead() -> None:
    """Print what a trial costs beside its training, and whether it comes to what it does inline."""
    specs = [replace(RELU, assignment=(name,) * SITES, study_seed=n) for n in range(10) for name in PAPER_OPERATORS]
    known = problems()
    with running(1) as (engine, _):
        began = time.perf_counter()
        for spec in specs:
            engine.submit(spec)
        ended = {}
        while (finished := engine.poll()) is not None:
            ended[finished.spec] = finished.outcome
        wall = time.perf_counter() - began
    spent = sum(outcome.seconds for outcome in ended.values()) / len(specs)
    print(f"overhead: {1000 * (wall / len(specs) - spent):.1f} ms a trial ({len(specs)} trials of {spent:.3f} s)")
    equal = sum(without_time(ended[spec]) == without_time(run_trial(spec, known[spec.network])[0]) for spec in specs)
    print(f"outcomes bit-equal to the inline engine's: {equal} of {len(specs)}")


def speedup(repeats: int) -> None:
    """Print how many times the trials per hour two workers have of one."""
    long = replace(RELU, protocol=replace(RELU.protocol, epochs=200))
    specs = [replace(long, assignment=(name,) * SITES) for name in PAPER_OPERATORS if name != "symexp"]
    walls: dict[int, list[float]] = {1: [], 2: []}
    for seed in range(repeats):
        for workers, taken in walls.items():
            with running(workers) as (engine, _):
                began = time.perf_counter()
                for spec in specs:
                    engine.submit(replace(spec, study_seed=seed))
                while engine.poll() is not None:
                    pass
                taken.append(time.perf_counter() - began)
    one, two = (3600 * len(specs) / median(taken) for taken in walls.values())
    print(f"trials per hour: {one:.0f} with one worker, {two:.0f} with two: {two / one:.2f} times (asked: 1.8)")


class Clock(Silent):
    """Notes when trials begin, and which a search asked for."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, TrialSpec]] = []
        self.asked: list[TrialSpec] = []

    def queued(self, phase: str, spec: TrialSpec) -> None:
        if phase == "stage1":
            self.asked.append(spec)

    def started(self, spec: TrialSpec, worker: str) -> None:
        self.spans.append((time.perf_counter(), spec))


def utilisation(workers: int, pending: int, background: int) -> tuple[float, float]:
    """Return the share of time that workers are busy in a simulated stage 1, and the most that its order allows."""
    space = AssignmentSpace([f"site{i}" for i in range(SITES)], PAPER_OPERATORS)
    clock = Clock()
    with running(workers, clock, simulate) as (engine, folder), Journal(folder / "journal.jsonl") as journal:
        clock.spans.clear()
        runner = Runner(engine, journal, folder, clock)
        for number in range(background):
            runner.start("final", replace(RELU, study_seed=5000 + number), background=True)
        evaluator = TrialEvaluator(runner, "stage1", spec_of)
        searcher = make_searcher("lahc", space, 0)
        began = time.perf_counter()
        run_strands([search(searcher, evaluator, budget=PER_WORKER * workers, pending=pending)], runner)
    of_search = set(clock.asked)
    last = max(start for start, spec in clock.spans if spec in of_search)
    busy = sum(min(start + seconds(spec), last) - start for start, spec in clock.spans if start < last)
    return busy / (workers * (last - began)), bound([seconds(spec) for spec in clock.asked], workers, pending)


def bound(lengths: Sequence[float], workers: int, pending: int) -> float:
    """Return the share of time that workers are busy where outcomes are told in order, and nothing else costs time."""
    now, busy, told, begun = 0.0, 0.0, 0, 0
    ends: list[tuple[float, int]] = []
    done: set[int] = set()
    starts: list[float] = []
    while begun < len(lengths):
        while begun < len(lengths) and begun - told < pending and len(ends) < workers:
            heapq.heappush(ends, (now + lengths[begun], begun))
            starts.append(now)
            begun += 1
        if begun < len(lengths):
            now, number = heapq.heappop(ends)
            done.add(number)
            while told in done:
                told += 1
    last = starts[-1]
    busy = sum(min(start + length, last) - start for start, length in zip(starts, lengths, strict=True))
    return busy / (workers * last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="*", default=[4, 16, 64])
    parser.add_argument("--repeats", type=int, default=3, help="of the comparison of one worker with two")
    options = parser.parse_args()
    overhead()
    speedup(options.repeats)
    table = Table(title=f"busy workers, simulated trials (log-normal, mean {MEAN_S:g} s, σ {SIGMA:g})")
    for column in ("workers", "asked", "n = workers", "bound", "n = 2 × workers", "bound", "n = workers, background"):
        table.add_column(column, justify="right")
    for workers in options.workers:
        with cluster(workers):
            shares = [
                *utilisation(workers, workers, 0),
                *utilisation(workers, 2 * workers, 0),
                utilisation(workers, workers, 4 * PER_WORKER * workers)[0],
            ]
        asked = f"{ASKED[workers]} %" if workers in ASKED else ""
        table.add_row(str(workers), asked, *(f"{100 * share:.0f} %" for share in shares))
    Console().print(table)


if __name__ == "__main__":
    main()
