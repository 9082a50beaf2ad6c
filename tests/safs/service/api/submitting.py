"""How tests submit, look at refusals, and make trials up."""

import copy
import io

import torch
import yaml

from tests.safs.conftest import TINY, merged


def as_yaml(config):
    return config if isinstance(config, str) else yaml.safe_dump(merged(TINY, config))


def submitted(client, config, headers=None, files=None, **texts):
    """Submit a config, as YAML or as changes to the small study's."""
    parts = {
        "config": (None, as_yaml(config)),
        **{name: (None, str(value)) for name, value in texts.items()},
        **(files or {}),
    }
    return client.post("/v1/studies", files=parts, headers=headers)


def refused(answer, status=400):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert problem["detail"].isprintable()
    return problem["detail"]


def saved(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def pretrained(**more):
    """What makes of the small study one that starts from a checkpoint."""
    values = copy.deepcopy(merged(TINY, more))
    del values["model"]["pretrain"], values["prune"]
    return yaml.safe_dump(values)


def trial(n, phase="stage1", **values):
    usual = {
        "n": n, "id": f"{n:016x}", "phase": phase, "status": "SUCCEEDED", "reason": None, "cost": 1.0 / n,
        "accuracy": None, "seconds": 0.1, "assignment": ["relu", "srs", "relu", "tanh"], "protocol": {"lr": 0.01},
        "fold": None, "learn": False, "peak_memory": None,
    }  # fmt: skip
    return usual | values
