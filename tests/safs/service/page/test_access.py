"""Who may look, and what others wrote."""

from playwright.sync_api import expect


def test_a_wrong_token_is_asked_for_again(token, serving, browser):
    context = browser.new_context()
    page = context.new_page()
    page.goto(serving.url)
    page.fill("#token", "safs_wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#token-error")).to_contain_text("A token is needed")
    page.fill("#token", token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Studies")
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#token")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    context.close()


def test_names_are_text(open_page, token, serving, tiny_config, add_study):
    name = "<img src=x onerror=alert(1)>"
    study = add_study(tiny_config, name)
    with serving.client(token) as client:
        client.post(f"/v1/studies/{study}/cancel")
    page = open_page(token, at=f"#/studies/{study}")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    assert page.locator("img[src=x]").count() == 0
