"""The list of models at work: search as you type, filters, choosing and comparing, by mouse and by keyboard."""

import re

from playwright.sync_api import Page, expect

from tests.fakes.browsing import NARROW, axe, no_sideways_scroll


def rows(page: Page) -> list[str]:
    return page.locator(".models tbody th code").all_inner_texts()


def test_typing_searches_and_the_address_can_be_sent_to_somebody_else(page: Page) -> None:
    page.goto("/models")
    page.get_by_label("Search").press_sequentially("beta")
    expect(page).to_have_url(re.compile(r"/models\?q=beta$"))
    assert rows(page) == ["acme/beta"]
    expect(page.get_by_label("Search")).to_be_focused()
    expect(page.get_by_role("status").first).to_contain_text("1 of")
    page.reload()
    assert rows(page) == ["acme/beta"]
    expect(page.get_by_label("Search")).to_have_value("beta")


def test_a_filter_and_a_toggle_work_at_once_and_going_back_undoes_them(page: Page) -> None:
    page.goto("/models")
    before = rows(page)
    page.get_by_role("radio", name=re.compile("^All")).check()
    expect(page).to_have_url(re.compile(r"\?all=1$"))
    page.get_by_label("Provider").select_option("openrouter")
    expect(page).to_have_url(re.compile(r"\?provider=openrouter&all=1$"))
    assert "acme/alpha" not in rows(page)
    page.go_back()
    page.go_back()
    expect(page).to_have_url(re.compile(r"/models$"))
    # The page is put back from the browser's memory in its own time.
    expect(page.locator(".models tbody th code")).to_have_count(len(before))
    assert sorted(rows(page)) == sorted(before)


def test_models_are_chosen_by_keyboard_and_compared(page: Page) -> None:
    page.goto("/models")
    page.locator("[id='m-acme/alpha']").focus()
    page.keyboard.press("Space")
    expect(page.locator(".tray li")).to_have_count(1)
    expect(page.locator("[id='m-acme/alpha']")).to_be_focused()
    page.locator("[id='m-acme/beta']").check()
    expect(page.locator(".tray li")).to_have_count(2)
    axe(page)
    page.get_by_role("link", name="Compare 2 models").click()
    expect(page).to_have_url(re.compile(r"/models/compare\?m=acme/alpha&m=acme/beta$"))
    page.get_by_role("link", name="Differences").click()
    assert page.locator("tr.differs").count() == page.locator("tbody tr:not(.group)").count()
    page.locator(".take-out").first.click()
    expect(page).to_have_url(re.compile(r"m=acme/beta"))


def test_in_a_hand_the_filters_wait_behind_a_word(page: Page) -> None:
    page.set_viewport_size(NARROW)
    page.goto("/models")
    expect(page.get_by_label("Data policy")).to_be_hidden()
    page.get_by_label("Filters").check()
    expect(page.get_by_label("Data policy")).to_be_visible()
    no_sideways_scroll(page)
    axe(page)


def test_without_script_the_form_and_the_comparison_work_too(browser, gateway) -> None:
    context = browser.new_context(base_url=f"http://127.0.0.1:{gateway.port}", java_script_enabled=False)
    page = context.new_page()
    page.goto("/models")
    page.get_by_label("Search").fill("beta")
    page.get_by_role("button", name="Apply").click()
    assert rows(page) == ["acme/beta"]
    page.goto("/models")
    page.locator("[id='m-acme/alpha']").check()
    page.locator("[id='m-acme/beta']").check()
    page.get_by_role("button", name="Compare those that are marked").click()
    assert page.url.endswith("/models/compare?m=acme/alpha&m=acme/beta")
    context.close()
