"""Hidden state of three vendors through clients that know nothing of it. The simulated providers refuse any that came back changed, moved or not at all."""

import json

import pytest

from tests.fakes.four import KINDS
from tests.fakes.talking import CHAT, GEMINI, MESSAGES, PROTOCOLS, RESPONSES, WITH_TOOL, Said, Talk

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
CLIENTS = pytest.mark.parametrize("client", PROTOCOLS)
STATEFUL = {"messages": "thinking", "gemini": "thoughtSignature", "responses": "encrypted_content"}
ONE = '<<call weather {"city": "Bath"}>>'
TWO = '<<calls [{"name": "weather", "args": {"city": "Bath"}}, {"name": "weather", "args": {"city": "Rome"}}]>>'


def turn(talk: Talk, number: int, calls: str = ONE) -> list[Said]:
    """One user turn: thought, called, thought, called again, answered."""
    said = [talk.say(f"<<think turn {number}>>{calls}{ONE}<<say done {number}>>")]
    while said[-1].calls:
        said.append(talk.results(said[-1]))
    assert said[-1].text == f"[simulated] done {number}"
    return said


def sent_state(simulated, kind: str, number: int = -1) -> list[str]:
    """Every signature or encrypted content that a request to this provider held, in order."""
    entry = simulated.log(f"sim-{kind}")[number]
    assert entry["status"] == 200
    found: list[str] = []
    _collect(entry["body"], found)
    return found


def _collect(value, found: list[str]) -> None:
    if isinstance(value, dict):
        found += [
            value[name] for name in ("signature", "thoughtSignature", "encrypted_content", "data") if name in value
        ]
        for inner in value.values():
            _collect(inner, found)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, found)


@CLIENTS
@pytest.mark.parametrize("kind", STATEFUL)
@STREAMED
def test_state_comes_back_through_three_turns_with_tools(four, simulated, client, kind, stream) -> None:
    talk = Talk(four, client, f"acme/over-{kind}", stream=stream).agent
    for number in range(3):
        assert [len(said.calls) for said in turn(talk, number, TWO)] == [2, 1, 0]
    entries = simulated.log(f"sim-{kind}")
    assert [entry["status"] for entry in entries] == [200] * 9
    # In the last request of a turn there is the state of both answers before it, at least.
    for last in (2, 5, 8):
        assert len(sent_state(simulated, kind, last)) >= 2


@CLIENTS
@STREAMED
def test_thinking_that_is_bound_to_its_conversation_comes_back_in_the_same_one(four, simulated, client, stream) -> None:
    talk = Talk(four, client, "acme/bound", stream=stream).agent
    if client == MESSAGES:
        talk.fields["thinking"] = {"type": "adaptive"}
    for number in range(3):
        turn(talk, number)
    assert len(sent_state(simulated, "messages")) >= 2


@CLIENTS
@STREAMED
def test_redacted_thinking_comes_back_as_it_was(four, simulated, client, stream) -> None:
    talk = Talk(four, client, "acme/over-messages", stream=stream).agent
    first = talk.say(f"<<think aloud>><<redact>>{ONE}<<say done>>")
    assert talk.results(first).text == "[simulated] done"
    kinds = [block["type"] for block in simulated.log("sim-messages")[-1]["body"]["messages"][1]["content"]]
    assert kinds == ["thinking", "redacted_thinking", "tool_use"]


@CLIENTS
@pytest.mark.parametrize("kind", STATEFUL)
def test_no_foreign_client_is_shown_a_signature_as_it_is(four, simulated, client, kind) -> None:
    talk = Talk(four, client, f"acme/over-{kind}").agent
    said = talk.say(f"<<think aloud>>{ONE}<<say done>>")
    talk.results(said)
    (state, *_) = sent_state(simulated, kind)
    assert (state.encode() in said.answer.body) == (KINDS[kind] == client)


# --- the offer changes on the way

ORDERS = [
    ("messages", "gemini", "responses"),
    ("gemini", "messages", "chat"),
    ("responses", "chat", "messages"),
    ("chat", "responses", "gemini"),
    ("messages", "chat", "messages"),
    ("gemini", "responses", "gemini"),
    ("responses", "messages", "responses"),
]


def at(talk: Talk, kind: str) -> Talk:
    talk.model = f"acme/everywhere:sim-{kind}"
    return talk


@CLIENTS
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_each_turn_may_be_answered_by_another_vendor(four, simulated, client, order) -> None:
    talk = Talk(four, client, "", stream=True).agent
    for number, kind in enumerate(order):
        turn(at(talk, kind), number)
    assert {entry["status"] for entry in simulated.log()} == {200}


@CLIENTS
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_the_vendor_may_change_between_a_call_and_its_result(four, simulated, client, order) -> None:
    talk = Talk(four, client, "").agent
    first = at(talk, order[0]).say(f"<<think first>>{TWO}{ONE}<<say done>>")
    second = at(talk, order[1]).results(first)
    last = at(talk, order[2]).results(second)
    assert (len(first.calls), len(second.calls), last.text) == (2, 1, "[simulated] done")
    at(talk, order[0]).say("<<say and on>>")
    assert {entry["status"] for entry in simulated.log()} == {200}


@CLIENTS
def test_a_conversation_that_returns_to_its_first_vendor_has_its_state_again(four, simulated, client) -> None:
    talk = Talk(four, client, "").agent
    turn(at(talk, "messages"), 1)
    turn(at(talk, "gemini"), 2)
    first = at(talk, "messages").say(f"<<think again>>{ONE}<<say back>>")
    assert at(talk, "messages").results(first).text == "[simulated] back"
    thinking = [
        block
        for message in simulated.log("sim-messages")[-1]["body"]["messages"]
        for block in message["content"]
        if isinstance(block, dict) and block["type"] == "thinking"
    ]
    assert len(thinking) >= 2


@CLIENTS
@pytest.mark.parametrize("kind", ["chat", "responses", "messages"])
def test_encrypted_reasoning_is_not_held_against_a_caller_where_another_account_takes_over(
    four, simulated, client, kind
) -> None:
    """As between OpenAI and Azure: neither can read what the other has encrypted."""
    talk = Talk(four, client, f"acme/twins-{kind}:sim-{kind}").agent
    turn(talk, 1)
    first = talk.say(f"<<think again>>{ONE}<<say done>>")
    talk.model = f"acme/twins-{kind}:twin-{kind}"
    assert talk.results(first).text == "[simulated] done"
    turn(talk, 2)


# --- what clients drop


def test_a_chat_client_need_not_have_asked_for_reasoning(four, simulated) -> None:
    talk = Talk(four, CHAT, "acme/over-gemini").agent
    del talk.fields["reasoning_effort"]
    assert turn(talk, 1, TWO)
    assert len(sent_state(simulated, "gemini")) == 2


@pytest.mark.parametrize("kind", ["messages", "gemini"])
def test_a_responses_client_need_not_have_asked_for_encrypted_content(four, simulated, kind) -> None:
    talk = Talk(four, RESPONSES, f"acme/over-{kind}").agent
    del talk.fields["include"]
    first = talk.say(f"<<think aloud>>{TWO}<<say done>>")
    # Codex and others leave reasoning items out where they have nothing to bring back.
    talk.history = [item for item in talk.history if item.get("type") != "reasoning" or item.get("encrypted_content")]
    assert talk.results(first).text == "[simulated] done"
    assert sent_state(simulated, kind)


def test_a_messages_client_that_never_turned_thinking_on_keeps_geminis_signatures(four, simulated) -> None:
    talk = Talk(four, MESSAGES, "acme/over-gemini").agent
    del talk.fields["thinking"]
    first = talk.say(f"{TWO}<<say done>>")
    assert {block["type"] for block in first.kept[0]["content"]} == {"tool_use"}
    assert talk.results(first).text == "[simulated] done"
    assert len(sent_state(simulated, "gemini")) == 1


def test_ids_of_tools_are_short_enough_for_every_client(four) -> None:
    for client in (CHAT, RESPONSES, MESSAGES):
        for kind in STATEFUL:
            said = Talk(four, client, f"acme/over-{kind}").agent.say(f"<<think aloud>>{TWO}")
            assert all(len(call.id) <= 64 for call in said.calls)
            assert len({call.id for call in said.calls}) == 2


@pytest.mark.parametrize("kind", list(KINDS))
@STREAMED
def test_items_come_back_as_openais_guides_show_it_with_everything_unsaid(four, simulated, kind, stream) -> None:
    """`input += response.output`, with `store` as it is by default and nothing asked for: https://platform.openai.com/docs/guides/function-calling"""
    talk = Talk(four, RESPONSES, f"acme/over-{kind}", stream=stream)
    talk.fields = {"store": None, **WITH_TOOL[RESPONSES]}
    first = talk.say(f"<<think aloud>>{TWO}<<say done>>")
    assert talk.results(first).text == "[simulated] done"
    assert talk.say("<<say and on>>").text == "[simulated] and on"


@pytest.mark.parametrize(("client", "kind"), [(RESPONSES, "messages"), (GEMINI, "messages"), (MESSAGES, "responses")])
def test_a_sealed_state_that_was_changed_never_reaches_a_provider(four, simulated, client, kind) -> None:
    talk = Talk(four, client, f"acme/over-{kind}").agent
    first = talk.say(f"<<think aloud>>{ONE}<<say done>>")
    assert talk.results(first).text == "[simulated] done"
    whole, changed = json.dumps(talk.history), json.dumps(altered(talk.history))
    assert whole != changed
    talk.history = altered(talk.history)
    talk.send()
    assert not any('"tl1' in entry["text"] for entry in simulated.log(f"sim-{kind}"))


def altered(value):
    """Every string that was sealed, with its last letters changed."""
    if isinstance(value, dict):
        return {name: altered(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [altered(inner) for inner in value]
    sealed = isinstance(value, str) and value.startswith("tl1e")
    return value[:-4] + ("AAAA" if value[-4:] != "AAAA" else "BBBB") if sealed else value
