"""The files of a study, and its report."""

from playwright.sync_api import expect


def test_a_file_is_downloaded(open_page, token, ended, serving, tmp_path):
    page = open_page(token, at=f"#/studies/{ended}")
    row = page.locator(".panel-artifacts tr", has_text="summary.json")
    with page.expect_download() as download:
        row.get_by_role("button").click()
    download.value.save_as(tmp_path / "summary.json")
    stored = serving.home / "studies" / ended / "run" / "summary.json"
    assert (tmp_path / "summary.json").read_bytes() == stored.read_bytes()


def test_files_of_trials_are_folded_away(open_page, token, ended, serving):
    page = open_page(token, at=f"#/studies/{ended}")
    files = page.locator(".panel-artifacts")
    expect(files.get_by_role("button", name="Download summary.json")).to_be_visible()
    stored = serving.home / "studies" / ended / "run" / "trials"
    count = sum(path.is_file() for path in stored.rglob("*"))
    assert count > 30
    fold = files.get_by_text(f"Files of the trials: {count} files")
    rows = files.locator("details tbody tr")
    expect(rows).to_have_count(0)
    fold.click()
    expect(rows).to_have_count(count)
    with page.expect_download() as download:
        rows.first.get_by_role("button").click()
    assert download.value.suggested_filename in rows.first.inner_text()
    fold.click()
    expect(rows).to_have_count(0)


def test_the_report_is_opened(open_page, token, ended, shot):
    page = open_page(token, at=f"#/studies/{ended}")
    page.get_by_role("link", name="Open report").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("button", name="Download")).to_be_visible()
    shot(page, "report")
