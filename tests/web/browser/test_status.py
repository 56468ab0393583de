"""The status page at work: offers unfold, ranges, one sentence."""

from playwright.sync_api import Page, expect

from tests.fakes.browsing import axe


def test_offers_of_a_provider_unfold_when_asked_for(page: Page) -> None:
    page.goto("/status")
    expect(page.locator(".overall")).not_to_be_empty()
    folded = page.locator("details:not([open]) > summary")
    if folded.count():
        folded.first.click()
    expect(page.locator(".offers-over-time").first).to_be_visible()
    axe(page)


def test_the_range_of_incidents_is_chosen(page: Page) -> None:
    page.goto("/status")
    page.get_by_role("link", name="7 days").click()
    expect(page.get_by_role("link", name="7 days")).to_have_attribute("aria-current", "true")
