"""A study is submitted by the form, watched, canceled, resumed and deleted."""

import pytest
import torch
import yaml
from playwright.sync_api import expect

from safs.masks import apply_mask
from safs.models.registry import make_model
from safs.pruning import prune
from safs.service.scopes import Scope


def submit(page, config, **fields):
    page.get_by_role("link", name="Submit").first.click()
    page.fill("#config", config)
    for name, value in fields.items():
        page.fill(f"#{name}", value)
    page.get_by_role("button", name="Submit", exact=True).click()


def cancel(page):
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Keep it running")).to_be_focused()
    page.get_by_role("button", name="Cancel the study").click()
    expect(page.locator(".badge")).to_have_text("Canceled")


def test_a_study_is_submitted_canceled_resumed_and_deleted(open_page, token, long_config, shot):
    page = open_page(token, answers=["400 (Bad Request)"])
    submit(page, long_config.replace("iterations:", "iteration:"))
    expect(page.locator("#config-error")).to_contain_text("did you mean 'iterations'")
    shot(page, "refused")
    submit(page, long_config, name="from the page")
    expect(page.get_by_role("heading", level=1)).to_have_text("from the page")
    expect(page.locator(".badge")).to_have_text("Running")
    expect(page.get_by_role("button", name="Resume")).to_be_disabled()
    cancel(page)
    expect(page.locator("#announcer")).to_contain_text("Canceled")
    expect(page.get_by_role("button", name="Cancel")).to_be_disabled()
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".badge")).to_have_text("Running")
    expect(page.locator(".mode-live")).to_be_visible()
    expect(page.locator("#announcer")).to_contain_text("Running")
    cancel(page)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Studies")
    expect(page.get_by_text("from the page")).to_have_count(0)


@pytest.fixture
def checkpoint(tmp_path):
    """The file of a pruned LeNet-5."""
    model = make_model("lenet5", {}, seed=0)
    apply_mask(model, prune(model, 0.9))
    torch.save(model.state_dict(), tmp_path / "pruned.pt")
    return tmp_path / "pruned.pt"


def test_a_checkpoint_is_uploaded(open_page, token, checkpoint, tiny_values, shot):
    values = tiny_values(
        stage1={"iterations": 1, "operators": ["relu", "tanh"]}, stage2={"trials": 1}, report={"seeds": 1}
    )
    del values["model"]["pretrain"], values["prune"]
    page = open_page(token, at="#/submit")
    page.get_by_label("Checkpoint").set_input_files(checkpoint)
    submit(page, yaml.safe_dump(values), name="uploaded")
    expect(page.get_by_role("heading", level=1)).to_have_text("uploaded")
    expect(page.locator(".facts div", has_text="Checkpoint")).to_contain_text("kB")
    expect(page.locator(".badge")).to_have_text("Succeeded")
    dense = page.locator(".panel-baselines tr", has_text="dense")
    expect(dense).to_contain_text("not given")  # which is no failure
    expect(dense.locator(".bad-text")).to_have_count(0)
    shot(page, "uploaded", full_page=True)


def test_a_token_that_reads_may_not_submit(open_page, serving):
    page = open_page(serving.make_token("page reader", Scope.READ), at="#/submit")
    expect(page.get_by_text("may only read", exact=False)).to_be_visible()
    expect(page.get_by_role("button", name="Submit", exact=True)).to_be_disabled()
