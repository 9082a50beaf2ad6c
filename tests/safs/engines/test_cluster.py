"""The Ray engine, on real clusters: the contract of engines."""

import os
import threading
import time
from dataclasses import replace

import pytest

from safs.config.resources import ResourcesConfig
from safs.engines.cluster.engine import RayEngine
from safs.engines.cluster.staff import WorkersUnusableError
from safs.engines.testing import RELU, EngineConformance, problems
from safs.observer import Silent
from safs.outcome import Reason
from safs.sites import find_sites
from safs.trial import Problem
from safs.versions import training_versions
from tests.safs.engines.conftest import ROOT
from tests.safs.engines.hostile import Hostile


class TestRayEngine(EngineConformance):
    def make(self, log_path):
        return RayEngine(ResourcesConfig(engine="ray", workers=2), log_path, Silent())


class Tenant:
    """Somebody else on the cluster."""

    def stay(self):
        pass


class Watcher(Silent):
    """Notes what begins where, and what is lost."""

    def __init__(self):
        self.events = []
        self.warnings = []

    def warning(self, text):
        self.warnings.append(text)

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


def hog():
    network = Hostile("hog")
    return Problem(network, {}, find_sites(network, (1, 28, 28)), problems()["dense"].data)


def longer(seed, epochs=100):
    return replace(RELU, study_seed=seed, protocol=replace(RELU.protocol, epochs=epochs))


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_a_trial_out_of_memory_gets_one_device_and_the_others_go_on(nodes, engine):
    nodes.add(2)
    trials, watcher = engine(cpus_per_trial=1)
    trials.add_problem("hog", hog())
    spec = replace(RELU, network="hog")
    for seed in range(24):
        trials.submit(longer(seed, epochs=50))
        if seed == 6:
            trials.submit(spec)
    ended = {}
    while (finished := trials.poll()) is not None:
        ended[finished.spec] = finished.outcome
    assert len(ended) == 25
    assert ended.pop(spec).reason is Reason.OOM
    assert all(outcome.cost is not None for outcome in ended.values())
    lost = watcher.events.index(("lost", spec, None))
    (_, again) = [worker for kind, of, worker in watcher.events if (kind, of) == ("started", spec)]
    begun = watcher.events.index(("started", spec, again))
    assert again not in {worker for _, _, worker in watcher.events[:begun]}, "it has a worker of its own"
    meanwhile = {worker for _, _, worker in watcher.events[lost + 1 : begun]}
    assert len(meanwhile) == 1, "the node of one core goes on, that of two is freed"
    assert meanwhile <= {worker for _, _, worker in watcher.events[:lost]}


@pytest.mark.thorough
def test_two_engines_take_turns_on_a_full_cluster(engine, monkeypatch):
    monkeypatch.setattr("safs.engines.cluster.dispatcher._LEASE_S", 1.0)
    pairs = [engine(), engine()]
    ended = []
    until = time.monotonic() + 200

    def drain(number, trials):
        while (finished := trials.poll()) is not None:
            ended.append((number, finished.outcome.cost is not None))

    for trials, _ in pairs:
        for seed in range(3):
            trials.submit(longer(seed, epochs=300))
    threads = [threading.Thread(target=drain, args=(n, trials), daemon=True) for n, (trials, _) in enumerate(pairs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
        assert not thread.is_alive(), f"it hangs after {ended}"
    assert sorted(ended) == [(0, True)] * 3 + [(1, True)] * 3
    order = [number for number, _ in ended]
    assert order not in ([0] * 3 + [1] * 3, [1] * 3 + [0] * 3), "one waited for the other's end"


@pytest.mark.thorough
def test_a_device_that_others_keep_is_not_waited_for_forever(nodes, engine, monkeypatch, tmp_path):
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    monkeypatch.setattr("safs.engines.cluster.watch._ALONE_S", 6.0)
    nodes.add(2)
    trials, _ = engine(workers=2)
    large = next(node["NodeID"] for node in ray.nodes() if node["Resources"].get("CPU") == 2)
    there = NodeAffinitySchedulingStrategy(large, soft=False)
    tenant = ray.remote(num_cpus=1, scheduling_strategy=there)(Tenant).remote()
    ray.get(tenant.stay.remote())
    trials.add_problem("hog", hog())
    spec = replace(RELU, network="hog")
    trials.submit(spec)
    for seed in range(4):
        trials.submit(longer(seed))
    ended = {}
    while (finished := trials.poll()) is not None:
        ended[finished.spec] = finished.outcome
    ray.kill(tenant)
    assert ended[spec].reason is Reason.OOM
    assert "none became free within 6 s." in ended.pop(spec).traceback
    assert "FAILED reason OOM" in (tmp_path / spec.id / "log.txt").read_text()
    assert all(outcome.cost is not None for outcome in ended.values())


@pytest.mark.thorough
def test_a_node_with_other_versions_is_said_and_left_alone(nodes, engine, tmp_path):
    (tmp_path / "torch-0.0.dist-info").mkdir()
    (tmp_path / "torch-0.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.0\n")
    nodes.add(1, path=f"{tmp_path}{os.pathsep}{ROOT}")
    trials, watcher = engine(workers=2)
    for seed in range(6):
        trials.submit(longer(seed))
    ended = []
    while (finished := trials.poll()) is not None:
        ended.append(finished.outcome.cost is not None)
    assert ended == [True] * 6
    assert len(watcher.workers) == 1
    assert [said for said in watcher.warnings if "has torch 0.0, but the driver has" in said] == watcher.warnings[:1]


def test_a_worker_with_other_versions_is_refused(engine, monkeypatch):
    monkeypatch.setattr("safs.engines.cluster.staff.training_versions", lambda: training_versions() | {"torch": "1.0"})
    trials, _ = engine()
    trials.submit(RELU)
    with pytest.raises(WorkersUnusableError, match=r"has torch .* but the driver has 1\.0: results would differ"):
        trials.poll()


@pytest.mark.thorough
def test_from_outside_by_rays_client(tmp_path, run_safs, tiny_yaml, tiny_study, client_address):
    folder = tmp_path / "run"
    settings = ("--set", "resources.engine=ray", "--set", f"resources.address={client_address}")
    code, _, err = run_safs("run", tiny_yaml, *settings, "--run-dir", folder)
    assert code == 0, err
    assert (folder / "summary.json").read_bytes() == (tiny_study / "summary.json").read_bytes()
