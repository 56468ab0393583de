"""What pages are held to finds what it looks for."""

import pytest
from playwright.sync_api import Page

from tests.fakes.browsing import NARROW, Faults, graves, nameless, no_sideways_scroll, not_reached_by_tab

HEAD = "<!doctype html><html lang='en'><title>A page</title><main><h1>A page</h1>"


def test_pale_words_and_a_field_without_a_label_are_faults(page: Page) -> None:
    page.set_content(f"{HEAD}<p style='color: #ccc; background: #fff'>Pale</p><input></main>")
    assert {found.split(" ")[0] for found in graves(page)} == {"color-contrast", "label"}


def test_what_reaches_over_the_edge_is_found_unless_it_scrolls_for_itself(page: Page) -> None:
    page.set_viewport_size(NARROW)
    page.set_content(f"{HEAD}<div style='overflow-x: auto'><p style='width: 900px'>Wide</p></div></main>")
    no_sideways_scroll(page)
    page.set_content(f"{HEAD}<p style='width: 900px'>Wide</p></main>")
    with pytest.raises(AssertionError, match="Wide"):
        no_sideways_scroll(page)


def test_controls_that_no_key_reaches_are_found(page: Page) -> None:
    page.set_content(f"""{HEAD}<button>Seen</button><button tabindex="-1">Passed over</button>
      <button style="outline: none">Unseen</button><input autofocus aria-label="Last">""")
    assert [html.split(">")[1].split("<")[0] for html in not_reached_by_tab(page)] == ["Passed over", "Unseen"]


def test_a_button_of_a_picture_alone_has_no_name(page: Page) -> None:
    page.set_content(f"{HEAD}<button><svg></svg></button><button aria-label='Close'><svg></svg></button>")
    assert nameless(page) == ["<button><svg></svg></button>"]


@pytest.mark.parametrize("script", ["console.error('oh')", "setTimeout(() => { throw new Error('oh') })"])
def test_errors_are_noted(page: Page, faults: Faults, script: str) -> None:
    page.goto("/sign-in")
    page.evaluate(f"() => {{ {script}; return new Promise((done) => setTimeout(done)) }}")
    page.goto("/sign-in")
    assert any("oh" in fault for fault in faults)
    faults.allow("oh")


def test_a_request_to_another_host_is_noted(page: Page, faults: Faults) -> None:
    page.set_content(f"{HEAD}<img alt='' src='http://127.0.0.2:9/picture.png'>")
    assert "another host: http://127.0.0.2:9/picture.png" in faults
    faults.allow("another host|ERR_CONNECTION_REFUSED|ERR_UNSAFE_PORT")


def test_a_breach_of_the_policy_is_a_fault(page: Page, faults: Faults) -> None:
    page.goto("/sign-in")
    page.evaluate("() => { document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">') }")
    page.goto("/sign-in")
    assert "style-src 'self'" in " ".join(faults)
    faults.allow("style-src 'self'")
