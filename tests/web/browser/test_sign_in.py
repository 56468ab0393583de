"""Signing in and out by keyboard alone."""

import re

from playwright.sync_api import Page, expect

from tests.fakes.browsing import axe
from tests.fakes.gateway import MASTER_KEY


def test_a_wrong_key_is_told_and_the_right_one_leads_on(page: Page, faults) -> None:
    faults.allow("403")
    page.goto("/sign-in?next=/%3Fmodel%3Dopenai/o4-mini")
    page.keyboard.type("not the key")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("This is not the master key.")
    axe(page)
    expect(page.get_by_label("Master key")).to_be_focused()
    page.keyboard.type(MASTER_KEY)
    page.keyboard.press("Enter")
    page.wait_for_url("/?model=openai/o4-mini")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_a_page_of_the_platform_asks_first_and_comes_back(page: Page) -> None:
    page.goto("/platform/logs?model=openai/o4-mini")
    page.get_by_label("Master key").fill(MASTER_KEY)
    page.keyboard.press("Enter")
    page.wait_for_url("/platform/logs?model=openai/o4-mini")


def test_signing_out_ends_the_session(signed_in_anew: Page) -> None:
    page = signed_in_anew
    page.get_by_role("button", name="Sign out").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    page.goto("/sign-in")
    expect(page.get_by_label("Master key")).to_be_visible()


def test_the_first_stop_of_tab_leads_past_the_head(signed_in: Page) -> None:
    signed_in.goto("/")
    signed_in.keyboard.press("Tab")
    expect(signed_in.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    signed_in.keyboard.press("Enter")
    expect(signed_in).to_have_url(re.compile("#main$"))
