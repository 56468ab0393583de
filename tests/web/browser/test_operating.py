"""Credentials, routing and settings by keyboard and script, and the first steps that tick themselves off."""

import re

from playwright.sync_api import Browser, Page, expect

from tests.fakes.browsing import NARROW, PATIENCE_MS, Faults, axe, no_sideways_scroll
from tests.fakes.gateway import GatewayProcess, base_toml, eventually, model_toml, provider_toml, start_gateway
from tests.fakes.simulated import SimulatedProvider


def test_an_offer_is_tested_in_its_card(signed_in: Page) -> None:
    signed_in.goto("/platform/providers")
    card = signed_in.get_by_role("article", name="Acme")
    card.get_by_label("Offer to test at Acme").select_option("acme/beta:acme")
    card.get_by_role("button", name="Test").press("Enter")
    expect(card.get_by_text(re.compile(r"^Answered in"))).to_be_visible(timeout=PATIENCE_MS)
    expect(card.locator(".tried code")).to_have_text("acme/beta:acme")
    expect(signed_in).to_have_url(re.compile(r"/platform/providers$"))
    axe(signed_in)
    card.get_by_role("link", name="see it in the log").click()
    expect(signed_in).to_have_url(re.compile(r"/platform/logs/req_"))


def test_a_variable_is_copied(signed_in: Page) -> None:
    signed_in.goto("/platform/providers")
    signed_in.get_by_role("button", name="Copy the variable: ANTHROPIC_API_KEY").click()
    assert signed_in.evaluate("navigator.clipboard.readText()") == "ANTHROPIC_API_KEY"


def test_a_request_is_explained_under_the_form(signed_in: Page) -> None:
    signed_in.goto("/platform/routing?model=openai/o4-mini")
    signed_in.get_by_label("temperature").press("Space")
    signed_in.get_by_label("Answer at most, tokens").fill("100")
    signed_in.keyboard.press("Enter")
    table = signed_in.get_by_role("region", name="Offers in order")
    expect(table.get_by_role("row")).to_have_count(3, timeout=PATIENCE_MS)
    expect(table).to_contain_text("without temperature")
    axe(signed_in)
    signed_in.set_viewport_size(NARROW)
    no_sideways_scroll(signed_in)


def test_a_pasted_request_goes_before_the_fields(signed_in: Page) -> None:
    signed_in.goto("/platform/routing")
    signed_in.get_by_text("Or paste a whole request").press("Enter")
    signed_in.get_by_label("Body, as JSON").fill("{no")
    signed_in.get_by_role("button", name="Explain").click()
    expect(signed_in.get_by_role("alert")).to_contain_text("This is no JSON")
    axe(signed_in)
    signed_in.get_by_label("Protocol").select_option("anthropic.messages")
    body = '{"model": "acme/alpha", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}'
    signed_in.get_by_label("Body, as JSON").fill(body)
    signed_in.get_by_role("button", name="Explain").click()
    expect(signed_in.get_by_role("region", name="Offers in order")).to_contain_text("translated")


def test_sections_of_the_settings_are_reached_from_the_list(signed_in: Page) -> None:
    signed_in.goto("/platform/settings")
    signed_in.get_by_role("link", name="[routing]").press("Enter")
    expect(signed_in.locator("#routing")).to_be_in_viewport()


def test_the_first_steps_tick_themselves_off(
    browser: Browser, simulated_server: SimulatedProvider, tmp_path_factory
) -> None:
    folder = tmp_path_factory.mktemp("first")
    parts = [base_toml(folder), provider_toml("acme", simulated_server.base_url), model_toml("acme/alpha", ("acme",))]
    made = start_gateway(folder, "\n".join(parts))
    eventually(lambda: made.get("/api/v1/generation?id=none").status == 404, "the console's readiness")
    context = browser.new_context(base_url=f"http://127.0.0.1:{made.port}", viewport=NARROW)
    context.set_default_timeout(PATIENCE_MS)
    faults = Faults(f"127.0.0.1:{made.port}")
    faults.watch(context)
    try:
        _walk(context.new_page(), made)
    finally:
        context.close()
        assert made.stop() == 0
    assert faults.left == []


def _walk(page: Page, made: GatewayProcess) -> None:
    page.goto("/")
    done = page.locator(".first-steps > .done")
    expect(done).to_have_count(1)
    axe(page)
    no_sideways_scroll(page)
    made.request("POST", "/api/v1/management/keys", {"name": "me"})
    expect(done).to_have_count(2, timeout=PATIENCE_MS)
    made.chat("acme/alpha")
    expect(done).to_have_count(4, timeout=PATIENCE_MS)
    expect(page.get_by_role("heading", name="Everything works")).to_be_visible()
    axe(page)
