import json
import logging
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from safs.hpo import smac_search
from safs.protocol import Protocol

ROOT = Path(__file__).parents[2]
VANILLA = Protocol(epochs=3, optimizer="sgd", lr=0.05, momentum=0.5, schedule="step")


def cost_of(hyperparameters):
    """Return a made-up cost, or None for a failure."""
    if hyperparameters["optimizer"] == "fromage":
        return None
    return abs(np.log10(hyperparameters["lr"]) + 2) / 4


def play(seed, trials, vanilla=VANILLA, cost=cost_of):
    """Return the configurations of a whole search."""
    asked = []
    with tempfile.TemporaryDirectory() as folder, smac_search(seed, trials, vanilla, Path(folder)) as search:
        for _ in range(trials):
            proposal = search.ask()
            asked.append(proposal and proposal.hyperparameters)
            search.tell(proposal, cost(asked[-1]))
    return asked


@pytest.fixture(scope="module")
def asked():
    return play(0, 6)


def test_the_same_seed_gives_the_same_sequence_in_another_process(asked):
    code = (
        "import importlib.util, json, sys\n"
        "spec = importlib.util.spec_from_file_location('there', sys.argv[1])\n"
        "there = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(there)\n"
        "print(json.dumps(there.play(0, 6)))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", code, __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == asked


def test_another_seed_gives_another_sequence(asked):
    assert play(1, 3) != asked[:3]


def test_every_proposal_is_a_protocol_and_json(asked):
    for hyperparameters in asked:
        protocol = VANILLA.tuned(hyperparameters)
        assert protocol.epochs == VANILLA.epochs
        assert 1e-4 <= protocol.lr <= 1e-1
        assert ("momentum" in hyperparameters) == (protocol.optimizer == "sgd")
        assert ("weight_decay" in hyperparameters) == (protocol.optimizer != "fromage")
    assert json.loads(json.dumps(asked)) == asked
    assert len({json.dumps(hyperparameters, sort_keys=True) for hyperparameters in asked}) == len(asked)


def test_the_vanilla_protocol_is_among_the_first_proposals(asked):
    mine = [h for h in asked[:3] if h["optimizer"] == "sgd" and h["schedule"] == "step"]
    assert any((h["lr"], h["momentum"]) == (pytest.approx(0.05), pytest.approx(0.5)) for h in mine)


@pytest.mark.parametrize("trials", [1, 2, 3])
def test_the_smallest_budgets(trials):
    assert len(play(0, trials)) == trials


def test_a_vanilla_protocol_outside_the_space_is_moved_into_it():
    asked = play(0, 4, Protocol(epochs=1, optimizer="adam", lr=1.0, weight_decay=0.5, schedule="linear"))
    assert any((h["lr"], h.get("weight_decay")) == (pytest.approx(0.1), pytest.approx(0.01)) for h in asked)


def test_the_search_survives_failures():
    assert len(play(0, 5, cost=lambda _: None)) == 5


def test_the_search_learns_from_costs():
    """Configurations told otherwise change what is proposed after the design."""
    one, other = (play(0, 5, cost=cost) for cost in (lambda h: h["lr"], lambda h: 1 - h["lr"]))
    assert one[:3] == other[:3]
    assert one != other


def test_it_leaves_nothing_behind(tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.chdir(tmp_path)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    before = random.getstate(), np.random.get_state()[1].tolist(), logging.root.handlers[:]
    with caplog.at_level(logging.INFO):
        play(0, 5)
    assert list(tmp_path.rglob("*")) == [temporary]
    assert capfd.readouterr() == ("", "")
    assert (random.getstate(), np.random.get_state()[1].tolist(), logging.root.handlers) == before


def interrupt(_):
    raise KeyboardInterrupt


def test_it_cleans_up_after_an_interruption(tmp_path):
    with pytest.raises(KeyboardInterrupt), smac_search(0, 5, VANILLA, tmp_path) as search:
        interrupt(search.ask())
    assert list(tmp_path.iterdir()) == []
