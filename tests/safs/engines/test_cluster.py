"""The Ray engine, on real clusters: the contract of engines."""

from safs.config.resources import ResourcesConfig
from safs.engines.cluster.engine import RayEngine
from safs.engines.testing import EngineConformance
from safs.observer import Silent


class TestRayEngine(EngineConformance):
    def make(self, log_path):
        return RayEngine(ResourcesConfig(engine="ray", workers=2), log_path, Silent())
