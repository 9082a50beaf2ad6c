"""The Ray engine, on real clusters: the contract of engines."""

from dataclasses import replace

from safs.config.resources import ResourcesConfig
from safs.engines.cluster.engine import RayEngine
from safs.engines.testing import RELU, EngineConformance, problems
from safs.observer import Silent


class TestRayEngine(EngineConformance):
    def make(self, log_path):
        return RayEngine(ResourcesConfig(engine="ray", workers=2), log_path, Silent())


def test_a_node_that_joins_gets_trials(nodes, tmp_path):
    class Where(Silent):
        def __init__(self):
            self.workers = set()

        def started(self, spec, worker):
            self.workers.add(worker)

    where = Where()
    engine = RayEngine(
        ResourcesConfig(engine="ray", address=nodes.address), lambda spec: tmp_path / spec.id / "log.txt", where
    )
    try:
        engine.add_problem("pruned", problems()["pruned"])
        assert engine.room == 1
        for seed in range(20):
            engine.submit(replace(RELU, study_seed=seed, protocol=replace(RELU.protocol, epochs=100)))
        assert engine.poll() is not None
        assert len(where.workers) == 1
        nodes.add(1)
        ended = 1
        while engine.poll() is not None:
            ended += 1
        assert ended == 20
        assert engine.room == 2
        assert len(where.workers) == 2
    finally:
        engine.close()


def test_from_outside_by_rays_client(tmp_path, run_safs, tiny_yaml, tiny_study, client_address):
    folder = tmp_path / "run"
    settings = ("--set", "resources.engine=ray", "--set", f"resources.address={client_address}")
    code, _, err = run_safs("run", tiny_yaml, *settings, "--run-dir", folder)
    assert code == 0, err
    assert (folder / "summary.json").read_bytes() == (tiny_study / "summary.json").read_bytes()
