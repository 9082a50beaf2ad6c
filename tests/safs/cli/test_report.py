import json
import shutil


def test_the_report_of_a_finished_study_is_made_anew(finished, tiny_study, call_safs):
    (finished / "report.html").unlink()
    code, out, _ = call_safs("report", finished)
    assert code == 0
    assert out.rstrip().endswith(f"Report: {(finished / 'report.html').resolve()}")
    assert (finished / "report.html").stat().st_size > 10_000
    for name in ("summary.json", "journal.jsonl"):
        assert (finished / name).read_bytes() == (tiny_study / name).read_bytes()


def test_json_is_the_summary(finished, call_safs):
    code, out, err = call_safs("report", finished, "-o", "json")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads((finished / "summary.json").read_text())


def test_an_unfinished_study_is_one_line(finished, refused, snapshot):
    (finished / "summary.json").unlink()
    before = snapshot(finished)
    assert "safs run --resume" in refused("report", finished)
    assert snapshot(finished) == before


def test_what_is_no_run_directory_is_one_line(tmp_path, refused):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name in ("absent", "empty", "file"):
        assert name in refused("report", tmp_path / name)
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_damaged_summary_is_one_line(finished, refused):
    for text in ("", "{", "[]", "3", '{"schema": 7}'):
        (finished / "summary.json").write_text(text)
        assert "summary.json" in refused("report", finished)


def test_a_full_disk_is_one_line(finished, small_disk, fill, refused):
    disk = small_disk(8192)
    shutil.copytree(finished, disk / "run")
    fill(disk)
    assert "No space left on device" in refused("report", disk / "run")
