"""The logs in Chromium: what comes by itself, filters without a reload, a request's page, and a request that is sent again."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.fakes.browsing import NARROW, axe, no_sideways_scroll, not_reached_by_tab, settled
from tests.fakes.gateway import GatewayProcess

PATH = "/platform/logs"


def row(page: Page, id_: str):
    return page.locator(f'a[href="{PATH}/{id_}"]')


@pytest.fixture
def captured(gateway: GatewayProcess) -> str:
    """The id of a request whose bodies are kept."""
    answer = gateway.stream("openai/o4-mini", "Name three rivers. <b>Now</b>")
    gateway.record(answer.id)
    return answer.id


def opened(page: Page, id_: str) -> None:
    """The request's page, once its bodies are written, too."""
    page.goto(f"{PATH}/{id_}")
    for _ in range(50):
        if page.locator(".conversation").count():
            return
        page.reload()
    raise AssertionError("no bodies")


def test_new_requests_come_by_themselves_until_paused(signed_in: Page, gateway: GatewayProcess) -> None:
    signed_in.goto(PATH)
    first = gateway.chat("openai/o4-mini", "hello")
    expect(row(signed_in, first.id)).to_be_visible()
    signed_in.get_by_role("button", name="Live: pause").click()
    go_on = signed_in.get_by_role("button", name="Paused: go on")
    expect(go_on).to_be_visible()
    second = gateway.chat("openai/o4-mini", "hello again")
    gateway.record(second.id)
    expect(row(signed_in, second.id)).to_have_count(0)
    go_on.click()
    expect(row(signed_in, second.id)).to_be_visible()
    expect(signed_in.locator("#tail")).to_have_count(1)


def test_filters_change_the_list_and_the_address(signed_in: Page) -> None:
    signed_in.goto(PATH)
    signed_in.get_by_label("Outcome").select_option("failed")
    signed_in.wait_for_url(re.compile("outcome=failed"))
    expect(signed_in.locator(".finish .badge.plain")).to_have_count(0)
    signed_in.get_by_label("Model", exact=True).fill("acme/beta")
    signed_in.keyboard.press("Tab")
    signed_in.wait_for_url(re.compile("model=acme%2Fbeta"))
    expect(signed_in.locator(".model code").first).to_have_text("acme/beta")
    assert set(signed_in.locator(".model code").all_inner_texts()) == {"acme/beta"}
    signed_in.get_by_role("link", name="24 h").click()
    assert "outcome=failed" in signed_in.url
    assert "range=24h" in signed_in.url


def test_pages_lead_on_and_back(signed_in: Page) -> None:
    signed_in.goto(f"{PATH}?outcome=ok")
    signed_in.get_by_role("link", name="Older").click()
    shown = signed_in.locator(".when a").all()
    addresses = [one.get_attribute("href") for one in shown]
    signed_in.get_by_role("link", name="Older").click()
    expect(signed_in.locator(".when a").first).not_to_have_attribute("href", addresses[0] or "")
    signed_in.get_by_role("link", name="Newer").click()
    expect(signed_in.locator(".when a").first).to_have_attribute("href", addresses[0] or "")


def test_the_bill_opens_on_hover_and_on_focus(signed_in: Page) -> None:
    signed_in.goto(PATH)
    cost = signed_in.locator(".peek").nth(5)
    bill = cost.get_by_role("tooltip")
    expect(bill).to_be_hidden()
    cost.hover()
    expect(bill).to_be_visible()
    signed_in.mouse.move(0, 0)
    expect(bill).to_be_hidden()
    cost.focus()
    expect(bill).to_be_visible()


def test_a_requests_page_shows_what_was_said_and_brings_the_bodies(signed_in: Page, captured: str) -> None:
    opened(signed_in, captured)
    expect(signed_in.locator(".conversation")).to_contain_text("Name three rivers. <b>Now</b>")
    signed_in.get_by_text("Gateway to provider").click()
    expect(signed_in.locator(".views pre").first).to_contain_text('"model": "o4-mini"')
    axe(signed_in)


def test_a_request_is_copied_as_a_command(signed_in: Page, captured: str) -> None:
    opened(signed_in, captured)
    signed_in.get_by_role("link", name="As a curl command").click()
    signed_in.get_by_role("button", name="Copy").click()
    expect(signed_in.locator("#said")).to_have_text("Copied")
    copied = signed_in.evaluate("() => navigator.clipboard.readText()")
    assert copied.startswith("curl -X POST ")
    assert "$TRUNKLINE_API_KEY" in copied


def test_a_request_is_sent_again_to_another_offer(signed_in: Page, captured: str) -> None:
    opened(signed_in, captured)
    signed_in.get_by_role("link", name="Replay on another model").click()
    signed_in.get_by_label("Model or offer").fill("openai/o4-mini:azure")
    signed_in.keyboard.press("Enter")
    run = signed_in.get_by_role("region", name="openai/o4-mini:azure")
    expect(run.get_by_role("status")).to_have_text("Done · azure")
    expect(run.locator(".answer")).to_contain_text("[simulated]")
    expect(run.locator("[data-figure=cost]")).to_contain_text("$")
    axe(signed_in)
    run.get_by_role("link", name="Its record").click()
    expect(signed_in.locator("h1")).to_have_text("openai/o4-mini")


def test_a_model_that_is_not_there_is_told_in_its_place(signed_in: Page, captured: str, faults) -> None:
    faults.allow("404")
    opened(signed_in, captured)
    signed_in.goto(f"{PATH}/{captured}/replay")
    signed_in.get_by_label("Model or offer").fill("no/such")
    signed_in.get_by_role("button", name="Run").click()
    expect(signed_in.get_by_role("region", name="no/such").get_by_role("status")).to_contain_text("no/such")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_they_are_good_to_read_for_everyone(signed_in: Page, captured: str, scheme) -> None:
    signed_in.emulate_media(color_scheme=scheme)
    signed_in.goto(PATH)
    settled(signed_in)
    axe(signed_in)
    opened(signed_in, captured)
    axe(signed_in)


def test_they_fit_a_phone(signed_in: Page, captured: str) -> None:
    signed_in.set_viewport_size(NARROW)
    for path in (PATH, f"{PATH}/{captured}"):
        signed_in.goto(path)
        no_sideways_scroll(signed_in)


def test_the_keyboard_reaches_everything_on_a_requests_page(signed_in: Page, captured: str) -> None:
    opened(signed_in, captured)
    assert not_reached_by_tab(signed_in) == []
