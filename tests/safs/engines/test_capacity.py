"""What a trial reserves, and how many fit on nodes of any kind: no cluster is needed for arithmetic."""

from dataclasses import replace

import pytest

from safs.config.resources import ResourcesConfig
from safs.config.schema import Config
from safs.engines.cluster.capacity import Capacity, Need, Node, check_room, need, nodes
from safs.engines.cluster.clearing import clearing
from safs.engines.cluster.staff import Worker
from safs.engines.cluster.worker import Place
from spaces.errors import SafsError

CPU = Node("a", 16, 0, "")
GPU = Node("b", 8, 2, "H200")
SMALL = Node("c", 2, 1, "H200")


def ray(**resources):
    return ResourcesConfig(engine="ray", **resources)


@pytest.mark.parametrize(
    ("node", "cpus", "gpus", "expected"),
    [
        (CPU, 1, 0, 16),
        (CPU, 3, 0, 5),
        (CPU, 1, 1, 0),
        (CPU, 17, 0, 0),
        (GPU, 1, 1, 2),
        (GPU, 1, 0.5, 4),
        (GPU, 1, 0.25, 8),
        (GPU, 4, 0.25, 2),
        (GPU, 1, 0.3333, 6),
        (SMALL, 1, 0.1, 2),
    ],
)
def test_room_is_what_both_kinds_allow(node, cpus, gpus, expected):
    assert node.room(Need(cpus, gpus)) == expected


@pytest.mark.parametrize(
    ("resources", "nodes", "expected"),
    [
        ({}, [CPU], Need(1, 0)),
        ({}, [CPU, GPU], Need(1, 1)),
        ({"device": "cpu"}, [GPU], Need(1, 0)),
        ({"device": "cuda"}, [CPU], Need(1, 1)),
        ({"threads": 4}, [CPU], Need(4, 0)),
        ({"threads": 2, "cpus_per_trial": 3}, [CPU], Need(3, 0)),
        ({"gpus_per_trial": 0}, [GPU], Need(1, 0)),
        ({"gpus_per_trial": 0.33}, [GPU], Need(1, 0.3333)),
        ({"gpus_per_trial": 1 / 7}, [GPU], Need(1, 0.1428)),
    ],
    ids=str,
)
def test_what_a_trial_reserves(resources, nodes, expected):
    assert need(ray(**resources), nodes) == expected


@pytest.mark.parametrize("k", range(1, 33))
def test_k_trials_that_reserve_one_kth_share_a_gpu(k):
    reserved = need(ray(gpus_per_trial=1 / k), [GPU])
    assert k * reserved.gpus <= 1
    assert Node("x", 64, 1, "").room(reserved) == k


@pytest.fixture
def capacity(monkeypatch):
    """Returns the capacity of a cluster of these nodes."""
    monkeypatch.setattr("safs.engines.cluster.capacity.nodes", lambda nodes: list(nodes))
    return Capacity


def test_workers_are_as_many_as_fit_or_as_asked(capacity):
    cluster = capacity(ray(gpus_per_trial=0.5), [CPU, GPU, SMALL])
    assert cluster.room == cluster.most == 4 + 2
    assert cluster.device == "H200"
    assert (cluster.has("a"), cluster.has("x")) == (True, False)
    assert cluster.nodes_for(Need(8, 1)) == ["b"]
    assert cluster.nodes_for(Need(1, 1)) == ["b", "c"]
    few = capacity(ray(workers=3, device="cpu"), [CPU])
    assert (few.room, few.most, few.device) == (3, 16, "cpu")


def test_room_changes_with_the_nodes(capacity):
    cluster = capacity(ray(), [CPU])
    cluster.look([CPU, replace(CPU, id="d")])
    assert cluster.room == 32
    cluster.look([])
    assert cluster.room == 0
    assert cluster.whole_device == Need(1, 0)


def test_nodes_are_read_from_rays_description():
    described = [
        {"NodeID": "a", "Alive": True, "Resources": {"CPU": 4.0, "GPU": 2.0, "accelerator_type:H200": 1.0}},
        {"NodeID": "b", "Alive": True, "Resources": {"CPU": 1.0}},
        {"NodeID": "c", "Alive": False, "Resources": {"CPU": 8.0}},
    ]
    assert nodes(described) == [Node("a", 4.0, 2.0, "H200"), Node("b", 1.0, 0.0, "")]


def worker_at(node, gpu=""):
    worker = Worker(None, Need(1, 0.25), alone=False, arriving=None)
    worker.place = Place(node, "host", 1, gpu)
    return worker


def test_one_device_is_freed_then_a_node_more_every_minute(capacity):
    cluster = capacity(ray(gpus_per_trial=0.25), [CPU, GPU, SMALL])
    alone = Worker(None, cluster.whole_device, alone=True, arriving=None)
    freed = clearing(alone, Place("b", "host", 1, "1"), cluster)
    assert freed.is_in(worker_at("b", "1"))
    assert not freed.is_in(worker_at("b", "0"))
    assert not freed.is_in(worker_at("c", "0"))
    alone.hired -= 61
    later = clearing(alone, Place("b", "host", 1, "1"), cluster)
    assert later.is_in(worker_at("c", "0"))
    assert not later.is_in(worker_at("b", "0"))


def test_a_node_that_is_too_small_or_has_left_is_not_freed(capacity):
    cluster = capacity(ray(device="cpu"), [SMALL, CPU, replace(CPU, id="d")])
    alone = Worker(None, cluster.whole_device, alone=True, arriving=None)
    for node in ("c", "x"):
        freed = clearing(alone, Place(node, "host", 1, ""), cluster)
        assert freed.is_in(worker_at("a"))
        assert not freed.is_in(worker_at("c"))
        assert not freed.is_in(worker_at("d"))


def test_a_whole_device_is_a_gpu_or_the_cores_of_the_largest_node(capacity):
    assert capacity(ray(gpus_per_trial=0.25), [CPU, GPU]).whole_device == Need(1, 1)
    assert capacity(ray(device="cpu"), [SMALL, CPU]).whole_device == Need(16, 0)


@pytest.mark.parametrize(
    ("reserved", "nodes", "message"),
    [
        (Need(1, 1), [CPU], "needs 1 CPU and 1 GPU, but the cluster has 16 CPUs and 0 GPUs"),
        (Need(32, 0), [CPU], "needs 32 CPUs, but the cluster has 16 CPUs"),
        (Need(10, 1), [CPU, GPU], "on one node, which none of the cluster's 2 nodes has"),
    ],
)
def test_what_is_missing_is_said(reserved, nodes, message):
    with pytest.raises(SafsError, match=message):
        check_room(reserved, nodes)
    check_room(Need(1, 0), [CPU])


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"workers": 2}, "`workers` is for engines with workers of their own; set `engine: ray`, too"),
        ({"gpus_per_trial": 0.25}, "`gpus_per_trial` is for engines"),
        ({"trial_timeout": 5}, "`trial_timeout` is for engines"),
        ({"address": "auto"}, "`address` is for engines"),
        ({"engine": "rey"}, "Unknown engine 'rey'"),
        ({"engine": "ray", "workers": 0}, "resources.workers"),
        ({"engine": "ray", "workers": "some"}, "resources.workers"),
        ({"engine": "ray", "gpus_per_trial": 0.4}, "must be 0, 1, or 1/k"),
        ({"engine": "ray", "gpus_per_trial": 0.00001}, "must be at least 0.01"),
        ({"engine": "ray", "gpus_per_trial": 2}, "less than or equal to 1"),
        ({"engine": "ray", "gpus_per_trial": True}, "must not be true or false"),
        ({"engine": "ray", "threads": 4, "cpus_per_trial": 2}, "`threads` must not exceed `cpus_per_trial`"),
        ({"engine": "ray", "device": "cuda", "gpus_per_trial": 0}, "`device: cuda` needs `gpus_per_trial`"),
        ({"engine": "ray", "device": "cpu", "gpus_per_trial": 1}, "is for `device: cuda` or auto"),
        ({"engine": "ray", "stall_timeout": 0}, "greater than 0"),
        ({"engine": "ray", "trial_timeout": ".inf"}, "resources.trial_timeout"),
        ({"engine": "ray", "address": ""}, "resources.address"),
    ],
    ids=str,
)
def test_resources_that_contradict_each_other_are_refused(resources, message, tiny_values):
    with pytest.raises(SafsError) as refused:
        Config.from_mapping(tiny_values(resources=resources))
    assert message in str(refused.value)
    assert str(refused.value).isprintable()
