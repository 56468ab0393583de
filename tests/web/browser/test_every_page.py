"""Every page of the console in Chromium: light and dark, on a desk and in a hand, by keyboard alone.

The pages are those that the app's own router knows: a new one fails here until it has its line in `tests/fakes/pages.py`.
"""

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.fakes.browsing import (
    MAX_PAGE_BYTES,
    NARROW,
    WIDE,
    axe,
    nameless,
    no_sideways_scroll,
    not_reached_by_tab,
    settled,
    weight,
)
from tests.fakes.pages import ELSEWHERE, PAGES, PARTS, UNKNOWN_ONLY, addresses, routed

ADDRESSES = list(addresses())


def test_no_page_is_forgotten() -> None:
    assert routed() == {*PAGES, *PARTS, *ELSEWHERE}


@pytest.fixture(params=ADDRESSES)
def address(request: pytest.FixtureRequest, ids: dict[str, str]) -> str:
    """Of each page."""
    return str(request.param).format_map(ids)


@pytest.fixture
def reader(request: pytest.FixtureRequest, address: str) -> Page:
    """A page of somebody who may see this address."""
    page: Page = request.getfixturevalue("page" if address in UNKNOWN_ONLY else "signed_in")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_for_everyone_and_on_every_screen(reader: Page, address: str, scheme: Any) -> None:
    reader.emulate_media(color_scheme=scheme)
    reader.goto(address)
    for size in (WIDE, NARROW):
        reader.set_viewport_size(size)
        settled(reader)
        no_sideways_scroll(reader)
        axe(reader)


def test_a_first_visit_brings_little(reader: Page, address: str) -> None:
    assert weight(reader, address) < MAX_PAGE_BYTES


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_control_has_a_name_and_is_reached_by_tab(reader: Page, address: str, size: Any) -> None:
    reader.set_viewport_size(size)
    reader.goto(address)
    settled(reader)
    assert nameless(reader) == []
    assert not_reached_by_tab(reader) == []


def test_a_page_that_is_not_there_is_one_like_the_others(page: Page, faults: Any) -> None:
    faults.allow("404")
    page.goto("/platform/nothing/of/this/kind")
    assert page.get_by_role("heading", level=1).inner_text() == "There is no such page"
    axe(page)
    no_sideways_scroll(page)


def test_the_choice_of_dark_stays(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    page.goto("/")
    light = ground(page)
    page.get_by_role("button", name="Light or dark").click()
    dark = ground(page)
    assert dark != light
    page.goto("/sign-in")
    assert ground(page) == dark


def ground(page: Page) -> str:
    colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour
