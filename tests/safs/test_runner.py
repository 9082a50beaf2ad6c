import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from safs.config.resources import ResourcesConfig
from safs.engines.inline import InlineEngine
from safs.engines.testing import DENSE, KEPT, NAN, RELU, TANH, EngineConformance, problems
from safs.journal import Journal
from safs.observer import Silent
from safs.outcome import Reason, Status
from safs.run_directory import log_path
from safs.runner import Runner, network_path
from safs.storage import StorageError
from safs.trial_log import TrialLog
from spaces.errors import SafsError


class TestInlineEngine(EngineConformance):
    def make(self, log_path):
        return InlineEngine(ResourcesConfig(), log_path, Silent())

    def test_trials_end_in_the_order_of_submission(self, engine):
        for spec in (TANH, RELU, DENSE):
            engine.submit(spec)
        assert list(self.drain(engine)) == [TANH, RELU, DENSE]

    def test_the_background_waits_for_all_others_unless_it_is_hurried(self, engine):
        engine.submit(DENSE, background=True)
        engine.submit(KEPT, background=True)
        engine.submit(RELU)
        engine.submit(TANH)
        engine.hurry(KEPT)
        engine.hurry(NAN)  # unknown: nothing happens
        assert list(self.drain(engine)) == [RELU, TANH, KEPT, DENSE]

    def test_a_log_that_cannot_be_written_is_no_outcome(self, tmp_path):
        (tmp_path / "file").touch()
        engine = self.make(lambda spec: tmp_path / "file" / spec.id / "log.txt")
        engine.add_problem("pruned", problems()["pruned"])
        engine.submit(RELU)
        with pytest.raises(StorageError, match="Writing failed"):
            engine.poll()


class Watcher(Silent):
    def __init__(self):
        self.seen = []

    def phase(self, name, trials):
        self.seen.append((name, trials))

    def trial(self, phase, spec, outcome, cached):
        self.seen.append((phase, spec, outcome.status.value, cached))


class CountingEngine(InlineEngine):
    """An inline engine that counts what it is given."""

    def __init__(self, log_path):
        super().__init__(ResourcesConfig(), log_path, Silent())
        self.submitted = []

    def submit(self, spec, **options):
        self.submitted.append(spec)
        super().submit(spec, **options)


@pytest.fixture
def start(tmp_path):
    """Returns a new runner on the same run directory, its engine, its observer and its journal."""
    journals = []

    def begin():
        for journal in journals:
            journal.close()
        journals.append(Journal(tmp_path / "journal.jsonl"))
        engine, watcher = CountingEngine(partial(log_path, tmp_path)), Watcher()
        for name, problem in problems().items():
            engine.add_problem(name, problem)
        return Runner(engine, journals[-1], tmp_path, watcher), engine, watcher, journals[-1]

    yield begin
    for journal in journals:
        journal.close()


def test_every_trial_is_trained_once_and_outcomes_come_in_the_order_asked(start):
    runner, engine, watcher, journal = start()
    outcomes = runner.run("stage1", [TANH, RELU, TANH, NAN])
    assert engine.submitted == [TANH, RELU, NAN]
    assert outcomes[0] is outcomes[2]
    assert [outcome.status for outcome in outcomes] == [Status.SUCCEEDED] * 3 + [Status.FAILED]
    assert runner.run("stage2", [RELU, NAN, DENSE])[0] is outcomes[1]
    assert engine.submitted == [TANH, RELU, NAN, DENSE], "a failure is known too"
    assert [(record["phase"], record["id"]) for record in journal.records] == [
        ("stage1", TANH.id),
        ("stage1", RELU.id),
        ("stage1", NAN.id),
        ("stage2", DENSE.id),
    ]
    assert watcher.seen == [
        ("stage1", TANH, "SUCCEEDED", False),
        ("stage1", RELU, "SUCCEEDED", False),
        ("stage1", NAN, "FAILED", False),
        ("stage2", RELU, "SUCCEEDED", True),
        ("stage2", NAN, "FAILED", True),
        ("stage2", DENSE, "SUCCEEDED", False),
    ]


def test_a_trial_in_the_background_is_told_once_and_hurried_when_it_is_asked_for(start):
    runner, engine, watcher, journal = start()
    for spec in (DENSE, TANH, KEPT):
        runner.start("final", spec, background=True)
    assert runner.has_room, "the background takes no room"
    runner.run("stage1", [RELU, TANH])  # a row that a search asks for, too
    assert [record["id"] for record in journal.records] == [RELU.id, TANH.id]
    runner.run("final", [DENSE, TANH, KEPT])
    assert engine.submitted == [DENSE, TANH, KEPT, RELU]
    told = [(spec, cached) for _, spec, _, cached in watcher.seen]
    assert told == [(RELU, False), (TANH, False), (TANH, True), (DENSE, False), (KEPT, False)]


def test_another_runner_on_the_same_journal_knows_every_outcome(start):
    runner, *_ = start()
    before = runner.run("stage1", [TANH, NAN, KEPT])
    runner, engine, watcher, _ = start()
    after = runner.run("stage1", [TANH, NAN, KEPT])
    assert [outcome.to_json() for outcome in after] == [outcome.to_json() for outcome in before]
    assert engine.submitted == []
    assert [seen[-1] for seen in watcher.seen] == [True] * 3


def test_the_observer_hears_of_a_trial_after_the_journal(start, tmp_path):
    runner, _, watcher, _ = start()
    on_disk = []
    watcher.trial = lambda *_, cached: on_disk.append(len((tmp_path / "journal.jsonl").read_bytes().splitlines()))
    runner.run("stage1", [TANH, RELU])
    assert on_disk == [1, 2]
    assert not runner.knows(DENSE)


def test_a_kept_network_is_on_the_disk_before_the_journal_names_it(start, tmp_path, monkeypatch):
    runner, _, _, journal = start()
    there = []
    append = journal.append
    monkeypatch.setattr(journal, "append", lambda r: (there.append(network_path(tmp_path, KEPT).exists()), append(r)))
    runner.run("final", [KEPT])
    assert there == [True]
    assert "safs_activations.site0.alpha" in load_file(network_path(tmp_path, KEPT))


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"junk"), lambda path: truncate(path)])
def test_a_kept_network_that_is_gone_or_damaged_is_trained_again_and_is_the_same(start, tmp_path, damage):
    runner, *_ = start()
    (first,) = runner.run("final", [KEPT])
    path = network_path(tmp_path, KEPT)
    before = {name: tensor.clone() for name, tensor in load_file(path).items()}  # it is mapped from the file
    damage(path)
    runner, engine, _, _ = start()
    assert not runner.knows(KEPT)
    (again,) = runner.run("final", [KEPT])
    assert engine.submitted == [KEPT]
    assert (again.cost, again.metrics) == (first.cost, first.metrics)
    assert all(torch.equal(tensor, before[name]) for name, tensor in load_file(path).items())


def test_a_failed_trial_that_was_to_be_kept_is_not_tried_again(start):
    runner, *_ = start()
    spec = replace(NAN, keep=True)
    runner.run("final", [spec])
    runner, engine, _, _ = start()
    runner.run("final", [spec])
    assert engine.submitted == []


def test_a_failure_is_retried_only_where_asked_and_never_for_its_numbers(start, monkeypatch):
    runner, *_ = start()
    with monkeypatch.context() as patch:
        patch.setattr("safs.trial.train", out_of_memory)
        assert runner.run("dense", [RELU])[0].reason is Reason.OOM
    runner.run("stage1", [NAN])
    runner, engine, _, _ = start()
    assert runner.run("stage1", [RELU])[0].reason is Reason.OOM
    assert runner.run("dense", [NAN], retry=True)[0].reason is Reason.NAN
    assert engine.submitted == []
    assert runner.run("dense", [RELU], retry=True)[0].status is Status.SUCCEEDED
    assert engine.submitted == [RELU]


def test_a_failure_that_a_search_rests_on_is_not_retried_by_another_phase(start, monkeypatch):
    runner, *_ = start()
    with monkeypatch.context() as patch:
        patch.setattr("safs.trial.train", out_of_memory)
        runner.run("finalists", [RELU])
        runner.run("final", [RELU, TANH])
        runner, engine, _, _ = start()
        for _ in range(2):  # only what an earlier session left is tried again, once
            assert runner.run("final", [TANH], retry=True)[0].reason is Reason.OOM
        assert engine.submitted == [TANH]
    runner, engine, _, _ = start()
    outcomes = runner.run("final", [RELU, TANH], retry=True)
    assert [outcome.reason for outcome in outcomes] == [Reason.OOM, None]
    assert engine.submitted == [TANH]
    runner, engine, _, _ = start()
    again = runner.run("final", [RELU, TANH], retry=True)
    assert [outcome.cost for outcome in again] == [outcome.cost for outcome in outcomes]
    assert engine.submitted == []


def out_of_memory(*_, **__):
    raise MemoryError


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def test_the_journal_holds_spec_and_outcome(start):
    runner, _, _, journal = start()
    (outcome,) = runner.run("stage1", [NAN])
    (record,) = journal.records
    assert record == {
        "kind": "trial",
        "id": NAN.id,
        "phase": "stage1",
        "number": 1,
        "spec": NAN.to_json(),
        "outcome": outcome.to_json(),
    }
    assert record["outcome"]["reason"] == "NAN"
    assert "NonFiniteLossError" in record["outcome"]["traceback"]


GOOD = {"status": "SUCCEEDED", "cost": 0.5, "reason": None, "traceback": None, "metrics": {}, "seconds": 1.0}
DAMAGED = [{}, None, {"status": "ODD"}, {**GOOD, "cost": "0.5"}, {**GOOD, "metrics": 3}]


@pytest.mark.parametrize("damage", [{"id": None}, *({"outcome": outcome} for outcome in DAMAGED)])
def test_a_record_that_is_no_trial_is_refused(damage, start, tmp_path):
    runner, *_ = start()
    runner.run("stage1", [RELU])
    path = tmp_path / "journal.jsonl"
    record = json.loads(path.read_bytes()) | damage
    path.write_text(json.dumps({key: value for key, value in record.items() if value is not None}) + "\n")
    with pytest.raises(SafsError, match=r"trial.*damaged"):
        start()


def test_a_log_starts_anew_when_its_trial_does(tmp_path):
    path = tmp_path / "deep" / "log.txt"
    for loss in (1.0, 2.0):
        with TrialLog(path, RELU) as log:
            log.on_epoch(1, loss)
    assert path.read_text().splitlines()[2:] == ["epoch 1 train_loss 2.000000"]


def test_a_full_disk_stops_the_study_and_is_no_outcome(small_disk, fill, records):
    """Whether the log, the network or the journal meets it first."""
    folder = small_disk(512)
    with Journal(folder / "journal.jsonl") as journal:
        engine = InlineEngine(ResourcesConfig(), partial(log_path, folder), Silent())
        engine.add_problem("pruned", problems()["pruned"])
        runner = Runner(engine, journal, folder, Watcher())
        runner.run("stage1", [RELU])
        before = (folder / "journal.jsonl").read_bytes()
        for free in (0, 8192):  # not even a log; a log, but no network
            filler = fill(folder)
            with filler.open("r+b") as file:
                file.truncate(filler.stat().st_size - free)
            with pytest.raises((StorageError, OSError), match=r"full|No space"):
                runner.run("final", [KEPT])
            assert (folder / "journal.jsonl").read_bytes() == before
            assert not network_path(folder, KEPT).exists()
            filler.unlink()
        assert runner.run("final", [KEPT])[0].status is Status.SUCCEEDED
    assert len(records(folder)) == 2
