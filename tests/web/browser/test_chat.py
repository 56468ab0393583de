"""The studio in Chromium: what is asked, what comes back, and what stays in the browser. The answers are the simulator's, by its directives."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.fakes.browsing import NARROW, axe, no_sideways_scroll
from tests.fakes.gateway import GatewayProcess, eventually
from tests.fakes.simulated import SimulatedProvider

PATH = "/platform/chat?model=acme/alpha"
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


@pytest.fixture
def chat(signed_in: Page) -> Iterator[Page]:
    """The studio with acme/alpha chosen, and nothing asked yet."""
    signed_in.goto(PATH)
    expect(message(signed_in)).to_be_focused()
    yield signed_in
    # No answer is left under way: the next test's simulator would wait for it.
    signed_in.keyboard.press("Escape")


def message(page: Page) -> Locator:
    return page.get_by_label("Message", exact=True)


def answer(page: Page, model: str = "acme/alpha", turn: int = -1) -> Locator:
    return page.get_by_role("article").nth(turn).get_by_role("region", name=f"Answer of {model}")


def ask(page: Page, text: str, model: str = "acme/alpha") -> Locator:
    """Send it by Enter, and wait for the whole answer."""
    page.keyboard.press("Escape")
    message(page).fill(text)
    message(page).press("Enter")
    expect(message(page)).to_have_value("")
    return whole(answer(page, model))


def whole(one: Locator) -> Locator:
    expect(one).to_have_attribute("aria-busy", "false")
    return one


def settings(page: Page) -> None:
    page.locator("summary", has_text="Settings").click()


def axe_of_all(page: Page) -> None:
    """In a window so high that the composer, which stays at its foot, covers nothing."""
    size = page.viewport_size
    assert size is not None
    page.set_viewport_size({**size, "height": 3000})
    axe(page)
    page.set_viewport_size(size)


def sent(simulated_server: SimulatedProvider) -> dict[str, Any]:
    """The newest request as the provider got it."""
    body: dict[str, Any] = simulated_server.log()[-1]["body"]
    return body


def test_an_answer_comes_with_its_figures_and_the_way_to_its_record(chat: Page, gateway: GatewayProcess) -> None:
    one = ask(chat, "Hello <<say Good day.>>")
    expect(one.locator(".prose").last).to_have_text("[simulated] Good day.")
    figures = one.locator(".figures-line")
    for words in ("first token", " in", " out", "$0.0"):
        expect(figures).to_contain_text(words)
    link = one.get_by_role("link", name="log").get_attribute("href")
    assert link is not None
    record = gateway.record(link.removeprefix("/platform/logs/"))
    assert (record.model, record.app_title, record.streamed) == ("acme/alpha", "Trunkline chat", True)
    expect(chat.get_by_role("status").filter(has_text="acme/alpha has answered.")).to_be_attached()
    expect(message(chat)).to_be_focused()


def test_four_models_answer_the_same_words_and_each_goes_on_from_its_own(
    chat: Page, simulated_server: SimulatedProvider
) -> None:
    for name in ("acme/beta", "gamma", "o4"):
        chat.get_by_label("Add a model").fill(name)
        chat.keyboard.press("Enter")
    names = ["acme/alpha", "acme/beta", "other/gamma", "openai/o4-mini"]
    ask(chat, "Side by side <<say one>>")
    for name in names:
        expect(whole(answer(chat, name)).locator(".prose").last).to_have_text("[simulated] one")
    chat.get_by_label("Add a model").fill("acme/alpha:azure")
    chat.keyboard.press("Enter")
    expect(chat.get_by_role("alert").filter(has_text="At most four models")).to_be_visible()
    chat.get_by_role("button", name="Do not ask other/gamma").click()
    ask(chat, "And then? <<say two>>")
    assert [one["role"] for one in sent(simulated_server)["messages"]] == ["user", "assistant", "user"]
    axe_of_all(chat)


def test_a_model_that_came_later_is_asked_the_same(chat: Page) -> None:
    ask(chat, "Early <<say first>>")
    chat.get_by_label("Add a model").fill("acme/beta")
    chat.keyboard.press("Enter")
    chat.get_by_role("button", name="Ask acme/beta this too").click()
    expect(whole(answer(chat, "acme/beta")).locator(".prose").last).to_have_text("[simulated] first")


def test_reasoning_is_folded_and_shown_on_demand(chat: Page) -> None:
    one = ask(chat, "Think <<think It *may* be so>> <<say Yes.>>")
    thoughts = one.locator(".reasoning")
    expect(thoughts).not_to_have_attribute("open", "")
    thoughts.locator("summary").click()
    expect(thoughts.locator("em")).to_have_text("may")


def test_markdown_is_elements_and_never_html(chat: Page) -> None:
    text = "<img src=x onerror=alert(1)> **bold** `code` [bad](javascript:alert(1)) [good](https://example.com/)\n\n```python\nprint('hi')\n```"
    one = ask(chat, f"Say it <<say {text}>>")
    prose = one.locator(".prose").last
    expect(prose.locator("strong")).to_have_text("bold")
    expect(prose).to_contain_text("<img src=x onerror=alert(1)>")
    assert prose.locator("img, script").count() == 0
    assert [link.get_attribute("href") for link in prose.locator("a").all()] == ["https://example.com/"]
    prose.get_by_role("button", name="Copy").click()
    assert chat.evaluate("navigator.clipboard.readText()") == "print('hi')"
    one.get_by_role("button", name="Copy the answer of acme/alpha").click()
    assert chat.evaluate("navigator.clipboard.readText()") == f"[simulated] {text}"


def test_escape_stops_an_answer_and_retry_asks_again(chat: Page) -> None:
    message(chat).fill("Slowly <<tokens 400 20>>")
    chat.keyboard.press("Enter")
    expect(answer(chat).locator(".prose").last).to_contain_text("tok tok")
    chat.keyboard.press("Escape")
    expect(whole(answer(chat))).to_contain_text("Stopped.")
    expect(message(chat)).to_be_focused()
    answer(chat).get_by_role("button", name="Ask again: acme/alpha").click()
    expect(answer(chat)).not_to_contain_text("Stopped.")
    expect(answer(chat).locator(".prose").last).to_contain_text("tok tok")
    answer(chat).get_by_role("button", name="Stop acme/alpha").click()
    expect(whole(answer(chat))).to_contain_text("Stopped.")


def test_shift_and_enter_make_a_line(chat: Page) -> None:
    chat.keyboard.type("one")
    chat.keyboard.press("Shift+Enter")
    chat.keyboard.type("two")
    expect(message(chat)).to_have_value("one\ntwo")


def test_an_edited_message_is_asked_anew_and_what_came_after_goes(chat: Page) -> None:
    ask(chat, "First <<say one>>")
    ask(chat, "Second <<say two>>")
    chat.get_by_role("article").first.get_by_role("button", name="Edit").click()
    expect(chat.get_by_text("1 later turn will go.")).to_be_visible()
    chat.get_by_label("Your message, anew").fill("First <<say other>>")
    chat.keyboard.press("Enter")
    expect(whole(answer(chat)).locator(".prose").last).to_have_text("[simulated] other")
    assert chat.get_by_role("article").count() == 1


def test_a_tool_is_called_given_its_result_and_the_answer_goes_on(
    chat: Page, simulated_server: SimulatedProvider
) -> None:
    settings(chat)
    chat.get_by_role("button", name="Example").first.click()
    expect(chat.get_by_text("1 tool: get_weather")).to_be_visible()
    settings(chat)
    one = ask(chat, 'Weather? <<call get_weather {"place": "Berlin"}>> <<say Mild.>>')
    one.get_by_label("Result of get_weather").fill('{"celsius": 14}')
    axe_of_all(chat)
    one.get_by_role("button", name="Send the result").click()
    expect(whole(answer(chat)).locator(".prose").last).to_have_text("[simulated] Mild.")
    assert sent(simulated_server)["messages"][-1]["content"] == '{"celsius": 14}'


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("Tools, as JSON", '[{"type": "function"}]', "Tool 1: it needs a `function`."),
        ("Tools, as JSON", '[{"name": "a b"}]', "Tool 1: its `name` must be"),
        ("Tools, as JSON", '[{"name": "a"}, {"name": "a"}]', "stands there twice"),
        ("Tools, as JSON", "{", "This is no JSON"),
        ("Schema of the answer, as JSON", '{"type": "objekt"}', 'has the type "objekt"'),
        ("Schema of the answer, as JSON", '{"properties": {"a": {"type": 1}}}', "`a` has the type 1"),
    ],
)
def test_what_is_no_tool_or_schema_is_told_while_typing_and_not_sent(
    chat: Page, field: str, text: str, said: str
) -> None:
    settings(chat)
    chat.get_by_label(field).fill(text)
    expect(chat.locator(".check.bad")).to_contain_text(said)
    message(chat).fill("Hello")
    message(chat).press("Enter")
    expect(chat.get_by_role("alert").filter(has_text=said)).to_be_visible()
    assert chat.get_by_role("article").count() == 0


def test_a_schema_goes_along_and_its_answer_is_shown_as_json(chat: Page, simulated_server: SimulatedProvider) -> None:
    settings(chat)
    chat.get_by_role("button", name="Example").last.click()
    settings(chat)
    one = ask(chat, "As JSON")
    assert set(json.loads(one.locator("code").last.inner_text())) == {"answer", "confidence"}
    assert sent(simulated_server)["response_format"]["json_schema"]["strict"] is True


def test_settings_go_to_the_models_that_take_them_alone(chat: Page, simulated_server: SimulatedProvider) -> None:
    chat.get_by_label("Add a model").fill("openai/o4-mini")
    chat.keyboard.press("Enter")
    settings(chat)
    expect(chat.get_by_text("Not taken by openai/o4-mini: left out there.").first).to_be_visible()
    for label, value in (
        ("System prompt", "Be brief."),
        ("Temperature", "0.5"),
        ("Most tokens", "2000"),
        ("Seed", "7"),
    ):
        chat.get_by_label(label).fill(value)
    settings(chat)
    expect(chat.locator("#settings-said")).to_have_text("system prompt · temperature 0.5 · most tokens 2000 · seed 7")
    ask(chat, "Hello")
    whole(answer(chat, "openai/o4-mini"))
    by_model = {entry["body"]["model"]: entry["body"] for entry in simulated_server.log()[-2:]}
    assert by_model["acme--alpha"]["temperature"] == 0.5
    assert by_model["acme--alpha"]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert "temperature" not in by_model["o4-mini"]
    assert by_model["o4-mini"]["seed"] == 7
    chat.get_by_role("button", name="Do not ask acme/alpha").click()
    settings(chat)
    expect(chat.get_by_label("Temperature")).to_be_disabled()


def test_a_number_out_of_its_range_is_not_sent(chat: Page) -> None:
    settings(chat)
    chat.get_by_label("Temperature").fill("3")
    message(chat).fill("Hello")
    message(chat).press("Enter")
    expect(chat.get_by_role("alert").filter(has_text="The temperature must be from 0 to 2.")).to_be_visible()


def test_a_picture_goes_to_a_model_that_takes_it_and_to_no_other(
    chat: Page, simulated_server: SimulatedProvider
) -> None:
    picture: Any = {"name": "dot.png", "mimeType": "image/png", "buffer": PICTURE}
    chat.locator("#file").set_input_files(picture)
    expect(
        chat.get_by_role("alert").filter(has_text="acme/alpha takes no image: dot.png was not added.")
    ).to_be_visible()
    chat.get_by_label("Add a model").fill("openai/o4-mini")
    chat.keyboard.press("Enter")
    chat.get_by_role("button", name="Do not ask acme/alpha").click()
    notes: Any = {"name": "notes.md", "mimeType": "text/markdown", "buffer": b"# Notes"}
    chat.locator("#file").set_input_files([picture, notes])
    expect(chat.get_by_role("list", name="Files to send").get_by_role("listitem")).to_have_count(2)
    ask(chat, "What is it?", "openai/o4-mini")
    image, text, question = sent(simulated_server)["messages"][0]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert text["text"] == "The file notes.md:\n\n# Notes"
    assert question["text"] == "What is it?"


def test_a_failure_is_told_in_words_with_its_record(chat: Page, faults: Any) -> None:
    faults.allow("400")
    one = ask(chat, "Fail <<fail 400 9>>")
    expect(one.locator(".alarm")).to_contain_text("Simulated: the request is not valid.")
    expect(one.locator(".alarm")).to_contain_text("400 invalid_params")
    expect(one.get_by_role("link", name="log")).to_be_visible()
    faults.allow("404")
    chat.get_by_label("Add a model").fill("acme/alhpa")
    chat.keyboard.press("Enter")
    two = ask(chat, "Nobody", "acme/alhpa")
    expect(two.locator(".alarm")).to_contain_text("acme/alhpa")
    axe_of_all(chat)


def test_a_key_that_was_revoked_meanwhile_has_a_successor(chat: Page, gateway: GatewayProcess, faults: Any) -> None:
    faults.allow("403")
    ask(chat, "Before <<say one>>")
    key = chat.evaluate("async () => (await import('/static/stream.js')).sessionKey()")
    for card in gateway.get("/api/v1/management/keys").json["data"]:
        if card["hint"] == key[-4:]:
            gateway.request("DELETE", f"/api/v1/management/keys/{card['id']}")
    eventually(lambda: gateway.request("POST", "/api/v1/chat/completions", {}, key=key).status == 403, "the key's end")
    expect(ask(chat, "After <<say two>>").locator(".prose").last).to_have_text("[simulated] two")


def test_a_session_that_has_ended_is_told(signed_in_anew: Page, faults: Any) -> None:
    page = signed_in_anew
    page.goto(PATH)
    expect(message(page)).to_be_focused()
    page.context.clear_cookies()
    one = ask(page, "Hello")
    expect(one.locator(".alarm")).to_contain_text("Your session has ended. Sign in again, then repeat.")
    expect(one.get_by_role("link", name="Sign in")).to_be_visible()


def test_conversations_stay_over_a_reload_and_have_names(chat: Page) -> None:
    ask(chat, "What is a trunk line? <<say A main line.>>")
    chat.get_by_role("button", name="Rename").click()
    chat.get_by_label("Name of the conversation").fill("Lines")
    chat.keyboard.press("Enter")
    chat.get_by_role("button", name="New conversation").click()
    expect(chat.get_by_role("article")).to_have_count(0)
    ask(chat, "Another <<say two>>")
    chat.reload()
    expect(chat.locator("#thread-title")).to_have_text("Another <<say two>>")
    expect(answer(chat).locator(".prose").last).to_have_text("[simulated] two")
    chat.get_by_role("button", name="Lines").click()
    expect(answer(chat).locator(".prose").last).to_have_text("[simulated] A main line.")
    ask(chat, "More <<say more>>")
    expect(chat.locator("#thread-cost")).to_contain_text("so far")


def test_an_answer_goes_on_while_another_conversation_is_looked_at(chat: Page) -> None:
    message(chat).fill("Slowly <<tokens 30 40>>")
    chat.keyboard.press("Enter")
    expect(answer(chat).locator(".prose").last).to_contain_text("tok")
    chat.get_by_role("button", name="New conversation").click()
    expect(chat.get_by_role("article")).to_have_count(0)
    chat.get_by_role("button", name="Slowly").click()
    expect(whole(answer(chat)).locator(".figures-line")).to_contain_text("30 out")


def test_a_conversation_is_exported_and_deleted(chat: Page, tmp_path: Path) -> None:
    chat.on("dialog", lambda dialog: dialog.accept())
    ask(chat, "Keep this <<say kept>>")
    with chat.expect_download() as download:
        chat.get_by_role("button", name="Export", exact=True).click()
    download.value.save_as(tmp_path / "chat.json")
    kept = json.loads((tmp_path / "chat.json").read_text())
    (thread,) = kept["conversations"]
    assert kept["format"] == "trunkline-chat-1"
    assert thread["turns"][0]["answers"][0]["rounds"][0]["text"] == "[simulated] kept"
    assert "sk-" not in json.dumps(kept)
    chat.get_by_role("button", name="Delete", exact=True).click()
    expect(chat.get_by_role("article")).to_have_count(0)
    expect(chat.get_by_role("list", name="Conversations").get_by_role("listitem")).to_have_count(0)
    chat.reload()
    expect(chat.get_by_role("article")).to_have_count(0)


def test_no_key_stays_in_the_browser(chat: Page) -> None:
    ask(chat, "Hello <<say one>>")
    assert chat.evaluate("JSON.stringify({ ...localStorage, ...sessionStorage })").count("sk-tl-") == 0


def test_a_conversation_is_usable_on_a_phone_and_in_the_dark(chat: Page) -> None:
    ask(chat, "Table <<say | a | b |\n|---|---|\n| " + "x" * 90 + " | 2 |\n\n```\n" + "y" * 200 + "\n```>>")
    chat.get_by_label("Add a model").fill("acme/an-instruction-tuned")
    chat.keyboard.press("Enter")
    chat.emulate_media(color_scheme="dark")
    chat.set_viewport_size(NARROW)
    no_sideways_scroll(chat)
    expect(chat.get_by_role("button", name="Send")).to_be_in_viewport(ratio=1)
    axe_of_all(chat)
    settings(chat)
    no_sideways_scroll(chat)
    axe_of_all(chat)
