"""The model's page in a browser: ranges without a reload, tabs by keyboard, copying, and an answer of the model in the page."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.fakes.browsing import NARROW, Faults, axe, no_sideways_scroll, settled
from tests.fakes.gateway import MASTER_KEY, GatewayProcess
from tests.fakes.simulated import SimulatedProvider

MODEL = "/openai/o4-mini"
LONG = "/acme/an-instruction-tuned-mixture-of-experts-with-a-name-that-goes-on-128x22b-preview-2026-11-24"


def test_a_range_is_changed_in_its_place_and_stays_in_the_address(page: Page) -> None:
    page.goto(MODEL)
    page.evaluate("() => { window.same = true }")
    page.get_by_role("navigation", name="Range of the performance").get_by_role("link", name="90 days").click()
    expect(page.locator("#performance [aria-current=true]")).to_have_text("90 days")
    page.get_by_role("navigation", name="Range of the activity").get_by_role("link", name="7 days").click()
    expect(page.locator("#activity [aria-current=true]")).to_have_text("7 days")
    settled(page)
    assert page.evaluate("() => window.same")
    assert page.url.endswith("days=7")
    expect(page.locator(".chart canvas")).to_have_count(3)
    page.reload()
    expect(page.locator("#activity [aria-current=true]")).to_have_text("7 days")


def test_tabs_go_by_arrow_keys_and_show_one_sample(page: Page) -> None:
    page.goto(MODEL)
    panels = page.get_by_role("tabpanel")
    expect(panels).to_have_count(1)
    page.get_by_role("tab", name="OpenAI-Python").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Python", exact=True)).to_be_focused()
    expect(panels).to_have_count(1)
    expect(panels).to_contain_text("import requests")
    page.keyboard.press("End")
    expect(panels).to_contain_text("model_provider")


def test_a_click_copies_the_sample_with_the_readers_own_variable(page: Page) -> None:
    page.goto(MODEL)
    page.get_by_label("Variable that holds your key").fill("MY_KEY")
    page.get_by_role("button", name="Fill in").click()
    expect(page.get_by_role("tabpanel")).to_contain_text('os.environ["MY_KEY"]')
    page.get_by_role("tab", name="cURL").click()
    page.get_by_role("button", name="Copy the sample for cURL").click()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert 'Authorization: Bearer $MY_KEY"' in copied
    assert '"model": "openai/o4-mini"' in copied


def test_the_name_of_the_model_is_copied_by_a_click(page: Page) -> None:
    page.goto(MODEL)
    page.get_by_role("button", name="Copy the name: openai/o4-mini").first.click()
    assert page.evaluate("() => navigator.clipboard.readText()") == "openai/o4-mini"


def test_the_box_streams_an_answer_and_says_what_it_took(page: Page) -> None:
    page.goto(MODEL)
    page.get_by_label("Your API key").fill(MASTER_KEY)
    page.get_by_label("Prompt").fill("<b>Hello</b>")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#try-state")).to_contain_text("Answered in")
    expect(page.locator("#try-text")).to_contain_text("[simulated]")
    expect(page.locator("#try-text b")).to_have_count(0)
    expect(page.locator("#try-first")).to_have_text(re.compile(r"^[\d.]+ m?s$"))
    expect(page.locator("#try-cost")).to_have_text(re.compile(r"^\$0?\.?\d"))
    expect(page.locator("#try-output")).to_have_text(re.compile(r"^\d"))
    expect(page.locator("#try-id")).to_contain_text("req_")
    axe(page, "#try")


def test_a_typed_key_is_kept_only_if_asked_for(page: Page) -> None:
    page.goto(MODEL)
    page.get_by_label("Your API key").fill(MASTER_KEY)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#try-state")).to_contain_text("Answered in")
    page.reload()
    expect(page.get_by_label("Your API key")).to_have_value("")
    page.get_by_label("Your API key").fill(MASTER_KEY)
    page.get_by_label("Keep it in this tab").check()
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#try-state")).to_contain_text("Answered in")
    page.reload()
    expect(page.get_by_label("Your API key")).to_have_value(MASTER_KEY)


def test_a_reader_who_has_signed_in_needs_no_key_and_is_led_to_the_log(signed_in: Page) -> None:
    signed_in.goto(MODEL)
    expect(signed_in.get_by_label("Your API key")).to_have_count(0)
    signed_in.get_by_label("Provider", exact=True).select_option("Azure")
    signed_in.get_by_role("button", name="Send").click()
    expect(signed_in.locator("#try-state")).to_contain_text("Answered in")
    link = signed_in.locator("#try-id a")
    expect(link).to_have_attribute("href", re.compile(r"^/platform/logs/req_"))


@pytest.mark.parametrize(("key", "words"), [("", "Type an API key first"), ("sk-tl-wrong", "The API key is not valid")])
def test_what_went_wrong_is_said_in_words(page: Page, faults: Faults, key: str, words: str) -> None:
    faults.allow("401|403")
    page.goto(MODEL)
    page.get_by_label("Your API key").fill(key)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#try-error")).to_contain_text(words)
    expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_an_answer_can_be_stopped(page: Page, simulated_server: SimulatedProvider, gateway: GatewayProcess) -> None:
    slow = {"min": 60_000, "max": 60_000, "avg": 60_000}
    for provider in ("openai-sim", "azure-sim"):
        simulated_server.behaviour(provider, ttft_ms=slow)
    try:
        page.goto(MODEL)
        page.get_by_label("Your API key").fill(MASTER_KEY)
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#try-state")).to_contain_text("Waiting for the first token")
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#try-state")).to_have_text("Stopped.")
        expect(page.get_by_role("button", name="Send")).to_be_enabled()
    finally:
        simulated_server.reset()


def test_a_long_name_fits_a_phone(page: Page) -> None:
    page.set_viewport_size(NARROW)
    page.goto(LONG)
    settled(page)
    no_sideways_scroll(page)


def test_an_unknown_model_leads_to_those_that_there_are(page: Page, faults: Faults) -> None:
    faults.allow("404")
    page.goto("/openai/o4-mimi")
    page.get_by_role("link", name="OpenAI: o4 Mini").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("OpenAI: o4 Mini")


def test_models_of_an_author_whose_name_begins_paths_of_the_api_have_pages(page: Page) -> None:
    page.goto("/anthropic/claude-sonnet-4.6")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Claude")
