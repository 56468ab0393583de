"""Use, cost and keys as one works with them: choosing, downloading, making a key, ending it."""

import re

from playwright.sync_api import Page, expect

from tests.fakes.browsing import NARROW, axe, no_sideways_scroll, settled


def test_choices_follow_one_another_and_stay_in_the_address(signed_in: Page):
    signed_in.goto("/platform/usage")
    signed_in.get_by_role("navigation", name="Time").get_by_role("link", name="30 days").click()
    signed_in.get_by_role("navigation", name="By").get_by_role("link", name="API key").click()
    signed_in.get_by_label("Measure").select_option("Requests")
    signed_in.get_by_role("button", name="Show").click()
    expect(signed_in).to_have_url(re.compile(r"days=30.*by=key.*metric=requests"))
    expect(signed_in.get_by_role("heading", name="Requests by API key")).to_be_visible()
    settled(signed_in)
    expect(signed_in.locator("#over-time canvas")).to_be_visible()


def test_a_row_is_looked_into_and_left_again(signed_in: Page):
    signed_in.goto("/platform/cost?days=30")
    signed_in.get_by_role("table").get_by_role("link", name="acme/alpha", exact=True).click()
    expect(signed_in.get_by_label("Model", exact=True)).to_have_value("acme/alpha")
    expect(signed_in.get_by_role("heading", name="Cost by provider")).to_be_visible()
    signed_in.get_by_role("link", name="Clear filters").click()
    expect(signed_in.get_by_label("Model", exact=True)).to_have_value("")


def test_the_table_over_time_opens_by_the_keyboard(signed_in: Page):
    signed_in.goto("/platform/usage?days=30")
    signed_in.get_by_text("As a table").focus()
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_role("region", name="Tokens over time")).to_be_visible()
    settled(signed_in)
    axe(signed_in)


def test_what_is_seen_is_downloaded(signed_in: Page):
    signed_in.goto("/platform/usage?days=30&by=provider")
    with signed_in.expect_download() as begun:
        signed_in.get_by_role("link", name="Download as CSV").last.click()
    assert begun.value.suggested_filename.startswith("trunkline-usage-by-provider-")
    assert begun.value.path().read_text().startswith("Provider,Tokens,Share,")


def test_the_chart_is_drawn_anew_for_the_dark(signed_in: Page):
    signed_in.goto("/platform/cost?days=30&by=type")
    settled(signed_in)
    signed_in.get_by_role("button", name="Light or dark").click()
    expect(signed_in.locator("#over-time canvas")).to_be_visible()
    axe(signed_in)


def test_on_a_phone_wide_tables_scroll_within_themselves(signed_in: Page):
    signed_in.set_viewport_size(NARROW)
    for path in ("/platform/usage?days=30", "/platform/cost?days=30&by=key", "/platform/keys"):
        signed_in.goto(path)
        settled(signed_in)
        no_sideways_scroll(signed_in)


def test_a_key_is_made_copied_and_ended(signed_in: Page):
    signed_in.goto("/platform/keys")
    signed_in.get_by_label("Name").fill("laptop of alice@example.com")
    signed_in.get_by_label("Expires after").select_option("30 days")
    signed_in.get_by_role("button", name="Make the key").click()
    secret = signed_in.locator("#secret").inner_text()
    assert secret.startswith("sk-tl-")
    axe(signed_in)
    signed_in.get_by_role("button", name="Copy the key").click()
    expect(signed_in.locator("#said")).to_have_text("Copied")
    assert signed_in.evaluate("navigator.clipboard.readText()") == secret

    signed_in.get_by_role("link", name="Done").click()
    expect(signed_in.get_by_text(secret)).to_have_count(0)
    signed_in.get_by_role("link", name="Revoke laptop of alice@example.com").click()
    axe(signed_in)
    signed_in.get_by_role("button", name="Revoke the key").click()
    expect(signed_in.get_by_role("status").filter(has_text="is revoked")).to_be_visible()
    expect(signed_in.get_by_role("link", name="Revoke laptop of alice@example.com")).to_have_count(0)
    axe(signed_in)
