"""Studies that prune by each method: real ones, of 240 digits."""

import json
import signal
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file

import safs.study
from safs.checkpoints import save_checkpoint
from safs.config.schema import Config
from safs.engines.inline import InlineEngine
from safs.models.registry import make_model
from safs.observer import Silent
from safs.pruning import prune
from safs.study import Study
from spaces.errors import SafsError

QUICK = {
    "prune": {"ratio": 0.9, "scope": None},
    "stage1": {"iterations": 1, "operators": ["relu", "srs"]},
    "stage2": {"trials": 1},
    "report": {"seeds": 1},
}
IMP = {"method": "imp", "scope": None, "options": {"rounds": 3, "rewind_epoch": 1}}


@pytest.fixture
def quick(few, tiny_values, tmp_path, monkeypatch):
    """Runs a study of 240 digits, without the report, and returns its summary, its journal's records and its folder."""
    monkeypatch.setattr(safs.study, "write_report", lambda folder: None)

    def run(folder="run", resume=False, **changes):
        values = tiny_values(**{**QUICK, "data": "few", "model": {"pretrain": {"epochs": 3}}, **changes})
        Study(Config.from_mapping(values), tmp_path / folder).run(resume=resume)
        lines = (tmp_path / folder / "journal.jsonl").read_bytes().splitlines()
        summary = json.loads((tmp_path / folder / "summary.json").read_text())
        return summary, [json.loads(line) for line in lines], tmp_path / folder

    return run


def phase(records, name):
    return [record for record in records if record.get("phase") == name]


def stored(folder, record):
    return load_file(folder / "trials" / record["id"] / "model.safetensors")


@pytest.mark.parametrize("method", ["random", "erk", "snip", "synflow"])
def test_a_study_prunes_its_dense_network_by_the_method(method, quick, few, few_digits):
    summary, records, folder = quick(prune={"ratio": 0.9, "method": method, "scope": None}, seed=4)
    assert few == ["train", "test"], "the test data are read once, at the end"
    dense = make_model("lenet5", seed=4)
    dense.load_state_dict(stored(folder, phase(records, "dense")[0]))
    expected = prune(dense, 0.9, method=method, seed=4, data=few_digits, input_shape=(1, 28, 28))
    mask = load_file(folder / "best" / "mask.safetensors")
    assert all(bool((mask[name].bool() == kept).all()) for name, kept in expected.items())
    assert summary["rows"][1]["name"] == "pruned"


class StopAfterPruning(Silent):
    """Ends a study when its pruned network is there and the search begins."""

    def phase(self, name, trials):
        if name == "best single operator":
            raise KeyboardInterrupt


@pytest.mark.parametrize("method", ["snip", "imp"])
def test_methods_that_read_data_read_the_training_split_alone(method, few, tiny_values, tmp_path):
    values = tiny_values(**{**QUICK, "data": "few", "prune": {"ratio": 0.9, "method": method, "scope": None}})
    values["model"]["pretrain"]["epochs"] = 2
    with pytest.raises(KeyboardInterrupt):
        Study(Config.from_mapping(values), tmp_path / "run", StopAfterPruning()).run()
    assert few == ["train"]


def test_imp_in_a_study_trains_by_trials_and_leaves_the_rewound_weights(quick, monkeypatch):
    problems = {}
    add = InlineEngine.add_problem
    monkeypatch.setattr(InlineEngine, "add_problem", lambda *args: problems.update({args[1]: args[2]}) or add(*args))
    summary, records, folder = quick(prune=IMP)
    (dense,) = phase(records, "dense")
    rewind, second, third = phase(records, "prune")
    assert [record["spec"]["network"] for record in (rewind, second, third)] == ["dense", "round2", "round3"]
    assert [record["spec"].get("span") for record in (dense, rewind, second, third)] == [None, [0, 1], [1, 3], [1, 3]]
    pruned = problems["pruned"]
    assert sum(int(kept.sum()) for kept in pruned.mask.values()) == 4_419
    last, rewound = stored(folder, third), stored(folder, rewind)
    for name, kept in pruned.mask.items():
        assert bool((last[name][kept] != 0).all()), "a round keeps no weight that the round before removed"
        assert torch.equal(pruned.model.state_dict()[name], rewound[name] * kept)
    alive = {name: tensor for name, tensor in last.items() if name in pruned.mask}
    smallest_kept = min(float(alive[name][kept].abs().min()) for name, kept in pruned.mask.items() if kept.any())
    assert smallest_kept >= max(float(alive[name][~kept].abs().max()) for name, kept in pruned.mask.items())
    assert [row["name"] for row in summary["rows"]][:2] == ["dense", "pruned"]
    assert summary["rows"][0]["test_accuracy"]["mean"] is not None


def test_imp_from_a_checkpoint_starts_there(quick, tmp_path):
    save_checkpoint(tmp_path / "dense.pt", make_model("lenet5", seed=7), {})
    model = {"pretrain": None, "checkpoint": str(tmp_path / "dense.pt")}
    options = {"rounds": 2, "rewind_epoch": 0}
    _, records, folder = quick(model=model, prune={**IMP, "options": options})
    assert phase(records, "dense") == []
    first, second = phase(records, "prune")
    assert (first["spec"]["network"], second["spec"]["network"]) == ("dense", "round2")
    assert first["spec"]["protocol"]["epochs"] == 2, "those of `train`"
    mask = load_file(folder / "best" / "mask.safetensors")
    assert sum(int(kept.sum()) for kept in mask.values()) == 4_419


def test_epochs_that_do_not_reach_the_rewound_one_are_refused_and_nothing_is_written(quick, tmp_path):
    with pytest.raises(SafsError, match="'rewind_epoch' must be below the 3 epochs of a training, but got 3"):
        quick(prune={**IMP, "options": {"rewind_epoch": 3}})
    assert not (tmp_path / "run").exists()


def test_a_round_that_failed_for_want_of_memory_is_tried_again_on_resume(quick, monkeypatch):
    import safs.trial

    train, broken = safs.trial.train, [True]

    def short_of_memory(network, mask, *arguments, **keywords):
        if mask and broken:
            raise torch.OutOfMemoryError
        return train(network, mask, *arguments, **keywords)

    monkeypatch.setattr(safs.trial, "train", short_of_memory)
    with pytest.raises(SafsError, match=r"Training the network 'round2' for pruning failed \(OOM\)"):
        quick(prune=IMP)
    broken.clear()
    summary, records, _ = quick(resume=True, prune=IMP)
    assert [record["outcome"].get("reason") for record in phase(records, "prune")] == [None, "OOM", None, None]
    monkeypatch.undo()
    assert summary["rows"][0]["test_accuracy"]["mean"] is not None


def test_a_training_of_imp_that_fails_ends_the_study_in_one_line(quick, tmp_path):
    save_checkpoint(tmp_path / "dense.pt", make_model("lenet5", seed=7), {})
    model = {"pretrain": None, "checkpoint": str(tmp_path / "dense.pt")}
    with pytest.raises(SafsError, match=r"Training the network 'dense' for pruning failed \(NAN\); change"):
        quick(model=model, prune=IMP, train={"optimizer": "sgd", "lr": 1e6, "batch_size": 32})


@pytest.mark.thorough
def test_a_study_that_is_killed_between_rounds_ends_as_if_it_had_not_been(tiny_values, tmp_path, start_safs, run_safs):
    """SIGKILL while imp trains; resumed by another process; against a study that was left alone."""
    values = tiny_values(**QUICK, data="digits")
    values["prune"] = {"ratio": 0.95, **IMP}
    values["model"]["pretrain"]["epochs"] = 2
    path, reference, folder = tmp_path / "imp.yaml", tmp_path / "reference", tmp_path / "run"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    Study(Config.from_yaml(path), reference).run()
    process = start_safs("run", path, "--run-dir", folder)
    while len(phase(read(folder), "prune")) < 2:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not phase(read(folder), "final")
    code, _, err = run_safs("run", path, "--run-dir", folder, "--resume")
    assert code == 0, err
    assert "prune " in err
    assert "known already" in err
    for name in ("summary.json", "best/model.safetensors", "best/mask.safetensors", "dense.safetensors"):
        assert (folder / name).read_bytes() == (reference / name).read_bytes(), name
    ours, theirs = ([record.get("id") for record in read(where)] for where in (folder, reference))
    assert ours == theirs
    trials = [name for name in ours if name]
    assert len(set(trials)) == len(trials)


def read(folder):
    """Return the whole records of a journal that another process may be writing."""
    path = folder / "journal.jsonl"
    content = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in content.split(b"\n")[:-1]]
