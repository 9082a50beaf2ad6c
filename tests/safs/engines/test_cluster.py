"""The Ray engine, on real clusters: the contract of engines."""

from dataclasses import replace

import pytest

from safs.config.resources import ResourcesConfig
from safs.engines.cluster.engine import RayEngine
from safs.engines.cluster.staff import WorkersDoNotStartError
from safs.engines.testing import RELU, EngineConformance, problems
from safs.observer import Silent
from safs.outcome import Reason
from safs.sites import find_sites
from safs.trial import Problem
from safs.versions import training_versions
from tests.safs.engines.hostile import Hostile


class TestRayEngine(EngineConformance):
    def make(self, log_path):
        return RayEngine(ResourcesConfig(engine="ray", workers=2), log_path, Silent())


class Watcher(Silent):
    """Notes what begins where, and what is lost."""

    def __init__(self):
        self.events = []

    @property
    def workers(self):
        return {worker for _, _, worker in self.events if worker}

    def started(self, spec, worker):
        self.events.append(("started", spec, worker))

    def lost(self, spec, reason):
        self.events.append(("lost", spec, None))


@pytest.fixture
def engine(nodes, tmp_path):
    """Returns a new engine on the cluster `nodes`, and what watches it."""
    made = []

    def make(**resources):
        watcher = Watcher()
        resources = ResourcesConfig(engine="ray", address=nodes.address, **resources)
        made.append(RayEngine(resources, lambda spec: tmp_path / spec.id / "log.txt", watcher))
        for name, problem in problems().items():
            made[-1].add_problem(name, problem)
        return made[-1], watcher

    yield make
    for each in made:
        each.close()


def longer(seed, epochs=100):
    return replace(RELU, study_seed=seed, protocol=replace(RELU.protocol, epochs=epochs))


def test_a_node_that_joins_gets_trials(nodes, engine):
    trials, watcher = engine()
    assert trials.room == 1
    for seed in range(20):
        trials.submit(longer(seed))
    assert trials.poll() is not None
    assert len(watcher.workers) == 1
    nodes.add(1)
    ended = 1
    while trials.poll() is not None:
        ended += 1
    assert ended == 20
    assert trials.room == 2
    assert len(watcher.workers) == 2


def test_a_trial_out_of_memory_gets_one_device_and_the_others_go_on(nodes, engine):
    nodes.add(2)
    trials, watcher = engine(cpus_per_trial=1)
    network = Hostile("hog")
    trials.add_problem("hog", Problem(network, {}, find_sites(network, (1, 28, 28)), problems()["dense"].data))
    hog = replace(RELU, network="hog")
    for seed in range(24):
        trials.submit(longer(seed, epochs=50))
        if seed == 6:
            trials.submit(hog)
    ended = {}
    while (finished := trials.poll()) is not None:
        ended[finished.spec] = finished.outcome
    assert len(ended) == 25
    assert ended.pop(hog).reason is Reason.OOM
    assert all(outcome.cost is not None for outcome in ended.values())
    lost = watcher.events.index(("lost", hog, None))
    (first, again) = [worker for kind, spec, worker in watcher.events if (kind, spec) == ("started", hog)]
    begun = watcher.events.index(("started", hog, again))
    assert again not in {worker for _, _, worker in watcher.events[:begun]}, "it has a worker of its own"
    meanwhile = {worker for _, _, worker in watcher.events[lost + 1 : begun]}
    assert meanwhile & {worker for _, _, worker in watcher.events[:lost]}, "the other node went on"
    assert first not in meanwhile


def test_a_worker_with_other_versions_is_refused(engine, monkeypatch):
    monkeypatch.setattr("safs.engines.cluster.staff.training_versions", lambda: training_versions() | {"torch": "1.0"})
    trials, _ = engine()
    trials.submit(RELU)
    with pytest.raises(WorkersDoNotStartError, match=r"has torch .* but the driver has 1\.0: results would differ"):
        trials.poll()


def test_from_outside_by_rays_client(tmp_path, run_safs, tiny_yaml, tiny_study, client_address):
    folder = tmp_path / "run"
    settings = ("--set", "resources.engine=ray", "--set", f"resources.address={client_address}")
    code, _, err = run_safs("run", tiny_yaml, *settings, "--run-dir", folder)
    assert code == 0, err
    assert (folder / "summary.json").read_bytes() == (tiny_study / "summary.json").read_bytes()
