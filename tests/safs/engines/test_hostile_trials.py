"""Trials that crash, hang, diverge or exhaust memory are outcomes with a reason, and the others are not harmed."""

import os
import random
import signal
import time
from collections import Counter
from dataclasses import replace

import psutil
import pytest

from safs.config.resources import ResourcesConfig
from safs.engines.cluster.endings import MOST_DEATHS
from safs.engines.cluster.engine import RayEngine
from safs.engines.testing import NAN, RELU, TANH, problems, without_time
from safs.observer import Silent
from safs.outcome import Reason
from safs.sites import find_sites
from safs.trial import Problem, run_trial
from spaces.errors import SafsError
from spaces.operators import PAPER_OPERATORS
from tests.safs.engines.hostile import Hostile, Unpicklable


class Losses(Silent):
    def __init__(self):
        self.lost_trials = []
        self.workers = set()

    def started(self, spec, worker):
        self.workers.add(worker)

    def lost(self, spec, reason):
        self.lost_trials.append((spec, reason))


@pytest.fixture
def engine(tmp_path):
    """Returns a new engine with the usual problems and the hostile ones."""
    made = []

    def make(observer=None, **resources):
        engine = RayEngine(
            ResourcesConfig(engine="ray", **resources),
            lambda spec: tmp_path / spec.id / "log.txt",
            observer or Silent(),
        )
        made.append(engine)
        known = problems()
        for kind in ("crash", "hang", "hog"):
            network = Hostile(kind)
            known[kind] = Problem(network, {}, find_sites(network, (1, 28, 28)), known["dense"].data)
        for name, problem in known.items():
            engine.add_problem(name, problem)
        return engine

    yield make
    for each in made:
        each.close()


def drain(engine):
    ended = []
    while (finished := engine.poll()) is not None:
        ended.append(finished)
    assert len({each.spec for each in ended}) == len(ended), "a trial ended twice"
    return {each.spec: each.outcome for each in ended}


@pytest.mark.parametrize("each", [1, pytest.param(3, marks=pytest.mark.thorough)])
def test_many_trials_of_which_a_tenth_misbehaves(each, engine, tmp_path, left_behind):
    draw = random.Random(0)
    good = [replace(RELU, assignment=tuple(draw.choices(PAPER_OPERATORS, k=4)), study_seed=n) for n in range(36 * each)]
    bad = [
        replace(spec, network=kind) if kind in ("crash", "hang", "hog") else replace(NAN, study_seed=seed)
        for kind in ("crash", "hang", "hog", "nan")
        for seed in range(each)
        for spec in [replace(RELU, study_seed=seed)]
    ]
    order = [*good, *bad]
    draw.shuffle(order)
    watcher = Losses()
    trials = engine(watcher, workers=2, stall_timeout=30.0)
    for spec in order:
        trials.submit(spec)
    ended = drain(trials)
    assert ended.keys() == set(order)
    reasons = Counter(ended[spec].reason for spec in bad)
    assert reasons == dict.fromkeys((Reason.LOST, Reason.TIMEOUT, Reason.OOM, Reason.NAN), each)
    assert all(outcome.traceback for outcome in map(ended.get, bad))
    known = problems()
    for spec in good:
        assert without_time(ended[spec]) == without_time(run_trial(spec, known[spec.network])[0])
        log = (tmp_path / spec.id / "log.txt").read_text()
        assert log.splitlines()[-1].startswith("SUCCEEDED") or ended[spec].reason is Reason.NAN
    lost = Counter(spec.network for spec, _ in watcher.lost_trials)
    assert lost["crash"] == each * (MOST_DEATHS - 1)
    assert lost["hog"] == each, "once alone"
    assert lost["hang"] == 0
    trials.close()
    assert not left_behind()


def test_a_trial_that_takes_too_long_is_stopped(engine):
    trials = engine(trial_timeout=15.0, workers=1)
    trials.submit(replace(RELU, protocol=replace(RELU.protocol, epochs=10**6)))
    trials.submit(RELU)
    (stopped, others) = drain(trials).values()
    assert stopped.reason is Reason.TIMEOUT
    assert "resources.trial_timeout" in stopped.traceback
    assert others.cost is not None


def test_idle_workers_that_died_are_no_trials_fault(engine):
    watcher = Losses()
    trials = engine(watcher, workers=2)
    for seed in range(4):
        trials.submit(replace(RELU, study_seed=seed))
    drain(trials)
    for worker in watcher.workers:
        os.kill(int(worker.rpartition(":")[2]), signal.SIGKILL)
    time.sleep(1.0)
    trials.submit(TANH)
    assert drain(trials)[TANH].cost is not None
    assert watcher.lost_trials == []


def test_cancel_stops_what_runs_and_keeps_what_has_ended(engine):
    watcher = Losses()
    trials = engine(watcher, workers=2)
    endless = replace(RELU, protocol=replace(RELU.protocol, epochs=10**6))
    trials.submit(endless)
    trials.submit(RELU)
    first = trials.poll()
    assert first.spec == RELU
    trials.submit(replace(RELU, study_seed=5))
    trials.cancel()
    until = time.monotonic() + 20
    while any(psutil.pid_exists(int(worker.rpartition(":")[2])) for worker in watcher.workers):
        assert time.monotonic() < until, "they train on"
        time.sleep(0.1)
    left = drain(trials)
    assert endless not in left
    trials.submit(replace(RELU, study_seed=6))  # it is still good for more
    assert len(drain(trials)) == 1


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"gpus_per_trial": 1}, "needs 1 CPU and 1 GPU, but the cluster has"),
        ({"cpus_per_trial": 1000}, "needs 1000 CPUs, but the cluster has"),
        ({"address": "127.0.0.1:1"}, "no Ray cluster to work with at `resources.address: 127.0.0.1:1`"),
        ({"address": "ray://127.0.0.1:1"}, "no Ray cluster to work with"),
        ({"address": "somewhere"}, "an address is auto, host:port or ray://host:port"),
    ],
    ids=str,
)
def test_what_is_missing_is_said_at_once(resources, message, engine, left_behind):
    with pytest.raises(SafsError, match=message) as refused:
        engine(**resources)
    assert refused.value.exit_code == 2
    assert str(refused.value).isprintable()
    assert not left_behind()


def test_a_network_that_cannot_be_sent_is_refused(engine):
    trials = engine()
    network = Unpicklable()
    problem = Problem(network, {}, find_sites(network, (1, 28, 28)), problems()["dense"].data)
    with pytest.raises(SafsError, match=r"cannot be pickled, .*: I stay here"):
        trials.add_problem("mine", problem)
