"""`/platform/logs/{id}`: figures, attempts, plan, bill; what was said, in every protocol; bodies as they came; curl; and what is not there."""

import json
import re
import shlex

import msgspec
import pytest

from tests.fakes.console import MASTER_KEY
from tests.fakes.records import START_MS, a_record
from trunkline.accounts.secrets_file import load_or_make
from trunkline.records.bodies import Body, Captured, CapturePolicy
from trunkline.records.types import Attempt
from trunkline.storage.bodies import Bodies
from trunkline.storage.body_files import BodyFiles
from trunkline.storage.cipher import Cipher

CHAT_ASKED = {
    "model": "openai/o4-mini",
    "messages": [
        {"role": "system", "content": "Be terse."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "It's <b>this</b>?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "a cat"},
    ],
}
CHAT_ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "o4-mini",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A cat."}}],
}
CHAT_CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
CHAT_STREAM = "".join(
    f"data: {json.dumps(CHAT_CHUNK | {'choices': [{'index': 0, 'delta': {'content': text}, 'finish_reason': None}]})}\n\n"
    for text in ("Two ", "words.")
)
PROTOCOLS = {
    "openai.chat": (CHAT_ASKED, CHAT_ANSWER, "POST /api/v1/chat/completions"),
    "anthropic.messages": (
        {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "It's <b>this</b>?"}]},
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "text", "text": "A cat."}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
        "POST /anthropic/v1/messages",
    ),
    "openai.responses": (
        {"model": "m", "input": "It's <b>this</b>?"},
        {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "model": "m",
            "output": [
                {
                    "type": "message",
                    "id": "msg_1",
                    "status": "completed",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "A cat.", "annotations": []}],
                }
            ],
        },
        "POST /v1/responses",
    ),
    "gemini": (
        {"contents": [{"role": "user", "parts": [{"text": "It's <b>this</b>?"}]}]},
        {
            "candidates": [
                {"content": {"role": "model", "parts": [{"text": "A cat."}]}, "finishReason": "STOP", "index": 0}
            ]
        },
        "POST /v1beta/models/google%2Fgemini:generateContent",
    ),
}


@pytest.fixture(scope="module")
def people(console):
    with console.client(None, accept="text/html") as made:
        answer = made.post("/sign-in", data={"key": MASTER_KEY, "next": "/"})
        made.headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]
        yield made


@pytest.fixture(scope="module")
def keep(console):
    """Put a record with bodies into the store, as the data plane does it."""
    numbers = iter(range(10_000, 20_000))
    pepper = load_or_make(console.folder / "trunkline.db.secrets").pepper
    bodies = Bodies(BodyFiles(console.folder / "trunkline.db.bodies"), Cipher(pepper), CapturePolicy("full", days=3650))

    def kept(*views, **changes):
        record = a_record(next(numbers), **changes)
        console.keep(record)
        if views:
            bodies.put(Captured(record.id, record.key_id, record.received_ms, views))
            bodies.stored([record])
            bodies.store(5.0)
        return record

    return kept


def view(kind, said, **more):
    data = said if isinstance(said, bytes) else json.dumps(said).encode()
    return Body(kind, size_bytes=len(data), data=data, first_ms=1.0, last_ms=2.0, **more)


def conversation(protocol="openai.chat", answer=None):
    asked, answered, target = PROTOCOLS[protocol]
    return view("client_request", asked, target=target), view("client_answer", answer or answered, status=200)


def test_it_shows_the_figures_the_attempts_the_plan_and_the_bill(people, keep):
    text = people.get(f"/platform/logs/{keep().id}").text
    for shown in (
        "306 ms", "140", "107", "openai/o4-mini:azure", "status 500", "boom", "kept connection", "up_1", "unmeasured",
        "top_k", "dropped", "no offer", "$0.00011", "per M tokens", "no price", "observer failed: boom", "OpenAI/Python", "chatcmpl-",
    ):  # fmt: skip
        assert shown in text, shown


def test_the_attempts_stand_in_the_waterfall_where_they_were(people, keep):
    text = people.get(f"/platform/logs/{keep().id}").text
    places = re.findall(r'<svg x="([\d.]+)%" width="([\d.]+)%"', text)
    assert [float(left) for left, _ in places] == [0.0, 0.55]
    assert [float(width) for _, width in places] == [0.55, 99.34]


def test_its_figures_are_dashes_where_nothing_is_known(people, keep):
    bare = keep(
        attempts=(),
        plan=(),
        losses=(),
        notes=(),
        outcome="error",
        status=404,
        error_type="not_found",
        error_message="no such model",
    )
    text = people.get(f"/platform/logs/{bare.id}").text
    assert "No provider was called" in text
    assert "no such model" in text


def test_without_capture_it_says_how_to_switch_it_on(people, keep):
    assert 'bodies = "full"' in people.get(f"/platform/logs/{keep().id}").text


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_conversation_of_each_protocol_is_shown_as_text(people, keep, protocol):
    record = keep(*conversation(protocol), protocol=protocol)
    text = people.get(f"/platform/logs/{record.id}").text
    assert "It&#39;s &lt;b&gt;this&lt;/b&gt;?" in text
    assert "A cat." in text
    assert "<b>this</b>" not in text


def test_pictures_calls_and_results_have_their_places(people, keep):
    text = people.get(f"/platform/logs/{keep(*conversation()).id}").text
    assert '<img src="data:image/png;base64,iVBORw0KGgo="' in text
    assert "Calls <code>look</code>" in text
    assert "a cat" in text


def test_a_picture_of_another_host_is_never_loaded(people, keep):
    url = "https://pictures.example.com/cat.png"
    asked = {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}],
    }
    text = people.get(f"/platform/logs/{keep(view('client_request', asked)).id}").text
    assert url in text
    assert f'src="{url}' not in text


def test_a_stream_is_put_together(people, keep):
    record = keep(*conversation(answer=CHAT_STREAM.encode()))
    assert "Two words." in people.get(f"/platform/logs/{record.id}").text


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"messages": 5}', b"[" * 100_000])
def test_what_cannot_be_read_is_said_to_be_and_still_shown_as_it_came(people, keep, data):
    record = keep(view("client_request", data), view("client_answer", data))
    assert people.get(f"/platform/logs/{record.id}").status_code == 200
    assert people.get(f"/platform/logs/{record.id}/bodies/0").status_code == 200


def test_a_long_conversation_keeps_the_page_small(people, keep):
    asked = {"model": "m", "messages": [{"role": "user", "content": "word " * 4_000}] * 12}
    page = people.get(f"/platform/logs/{keep(view('client_request', asked)).id}")
    assert "Earlier turns are left out here" in page.text
    assert len(page.content) < 250_000


def test_each_view_is_brought_by_itself(people, keep):
    asked, answered = conversation()
    sent = Body(
        "provider_request",
        "openai/o4-mini:openai",
        START_MS,
        "POST https://api.openai.com:443/v1/chat/completions",
        headers=(("content-type", "application/json"),),
        headers_left_out=2,
        size_bytes=7,
        data=b'{"a":1}',
    )
    record = keep(asked, sent, answered)
    page = people.get(f"/platform/logs/{record.id}").text
    for title in ("Client to gateway", "Gateway to provider", "Gateway to client"):
        assert title in page
    part = people.get(f"/platform/logs/{record.id}/bodies/1").text
    assert "https://api.openai.com:443/v1/chat/completions" in part
    assert "2 headers, which may hold credentials" in part
    assert "&#34;a&#34;: 1" in part
    plain = people.get(f"/platform/logs/{record.id}/bodies/1?plain=1")
    assert plain.text == '{"a":1}'
    assert plain.headers["content-type"].startswith("text/plain")
    assert plain.headers["x-content-type-options"] == "nosniff"


def test_metadata_alone_is_said_to_be_so(people, keep):
    record = keep(Body("client_request", size_bytes=5), Body("client_answer", size_bytes=6, status=200))
    assert "Only sizes, headers and times were captured" in people.get(f"/platform/logs/{record.id}").text
    assert people.get(f"/platform/logs/{record.id}/curl").status_code == 404
    assert people.get(f"/platform/logs/{record.id}/replay").status_code == 404


def test_the_curl_command_says_the_same_again(people, keep):
    asked, _, target = PROTOCOLS["anthropic.messages"]
    record = keep(
        view("client_request", asked, target=target, headers=(("anthropic-version", "2023-06-01"), ("user-agent", "x")))
    )
    page = people.get(f"/platform/logs/{record.id}/curl").text
    command = re.search(r'<code id="command">(.*?)</code>', page, re.S)[1]
    for escaped, plain in (("&#39;", "'"), ("&#34;", '"'), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        command = command.replace(escaped, plain)
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:4] == ["curl", "-X", "POST", "https://llm.example.com/anthropic/v1/messages"]
    assert "anthropic-version: 2023-06-01" in words
    assert "Authorization: Bearer $TRUNKLINE_API_KEY" in words
    assert json.loads(words[-1]) == asked


def test_the_replay_page_offers_what_can_be_called_now(people, keep):
    page = people.get(f"/platform/logs/{keep(*conversation()).id}/replay").text
    assert '<option value="acme/alpha">' in page
    assert '<option value="acme/alpha:acme">' in page
    assert "A cat." in page


def test_a_request_that_was_cut_is_not_sent_again(people, keep):
    record = keep(view("client_request", CHAT_ASKED, is_cut=True))
    assert people.get(f"/platform/logs/{record.id}/replay").status_code == 404


@pytest.mark.parametrize("path", ["req_none", "req_none/bodies/0", "req_none/curl", "req_none/replay"])
def test_what_is_not_there_is_a_404_in_words(people, path):
    page = people.get(f"/platform/logs/{path}")
    assert page.status_code == 404
    assert "There is no request req_none" in page.text


@pytest.mark.parametrize("number", ["99", "-1", "x"])
def test_a_view_that_is_not_there_is_told(people, keep, number):
    assert people.get(f"/platform/logs/{keep(*conversation()).id}/bodies/{number}").status_code in (400, 404, 422)


def test_an_answers_own_id_leads_here_too(people, keep):
    record = keep()
    assert record.id in people.get(f"/platform/logs/{record.answer_id}").text


def test_a_request_with_many_attempts_shows_them_all(people, keep):
    attempts = tuple(
        Attempt("p", f"a/b:p{number}", "m", START_MS + number, START_MS + number + 1, "status", 503)
        for number in range(40)
    )
    text = people.get(f"/platform/logs/{keep(attempts=attempts).id}").text
    assert text.count('class="lane"') == 40


def test_what_a_prepaid_request_took_from_which_wallet_is_shown(people, client, console):
    for kind, name, usd in (("bonus", "welcome", "0.01"), ("top_up", "paid in", "5")):
        body = {"amount_usd": usd, "kind": kind, "name": name}
        assert client.post("/api/v1/management/credits", json=body).status_code == 201
    console.keep(msgspec.structs.replace(a_record(9001), cost_pico_usd=3 * 10**10, prepaid_by="org_default"))
    page = people.get("/platform/logs/req_009001").text.split("Charged to</h3>")[1].split("</table>")[0]
    assert re.findall(r"<bdi>(.*?)</bdi>.*?>(\$[\d.]+)</td>", page) == [("welcome", "$0.01"), ("paid in", "$0.02")]
    assert "Charged to" not in people.get("/platform/logs/req_000001").text
