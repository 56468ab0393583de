"""Turns of one conversation are known again, and what its provider's account holds of it is remembered for as long as it does."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.services import gateway_of
from trunkline.catalog.types import Catalog, Model, Offer, Provider
from trunkline.execution.affinity import TTL_S, beginning, held_of, is_elsewhere, note
from trunkline.execution.asked import Asked, Door
from trunkline.execution.exchange import Exchange
from trunkline.execution.gateway import Clock, Gateway, Policy, Snapshot
from trunkline.execution.holds import Holds
from trunkline.ir.usage import Usage
from trunkline.pricing.types import FREE
from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, RESPONSES
from trunkline.providers.accounts import Account
from trunkline.records.types import Attempt, Candidate
from trunkline.routing.affinity import Held
from trunkline.routing.order import Ranked, order
from trunkline.routing.types import Eligible, Step

LONG = "The rules of the house. " * 200
MODEL = "acme/alpha"
CACHED = Usage(input_tokens=100, cache_read_tokens=1500, output_tokens=10)


def asked(body: dict[str, Any], protocol: str = CHAT, **more: Any) -> Asked:
    door = Door(protocol, path_model=MODEL if protocol == GEMINI else "")
    gateway = Fleet(1).gateway
    raw = json.dumps({"model": MODEL, **body}).encode()
    return Asked(door, raw, "req_1", 0, gateway.vault, **{"has_state": False, **more})


def chat(*turns: str, system: str = LONG, **fields: Any) -> Asked:
    """Turns of the user and the model by turns, after a system prompt."""
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": turn} for place, turn in enumerate(turns)]
    return asked({"messages": [{"role": "system", "content": system}, *messages], **fields})


def exchange(key_id: str = "key_1", session_id: str = "") -> Exchange:
    made = Exchange("req_1", CHAT, 0.0, 0.0)
    made.key_id, made.session_id = key_id, session_id
    made.candidates = (Candidate("acme/alpha:p0", 1), Candidate("acme/alpha:p1", 2))
    return made


class Fleet:
    """A gateway with a clock that the test sets, and so many offers of one model."""

    def __init__(self, offers: int = 2, keys: int = 1) -> None:
        self.now_s = 1000.0
        steps = tuple(Step(Offer(MODEL, f"p{n}", "alpha-1", (CHAT,))) for n in range(offers))
        model = Model(MODEL, "Alpha", "acme", offers=tuple(step.offer for step in steps))
        secrets = tuple(f"secret-{n}" for n in range(keys))
        accounts = {f"p{n}": Account(Provider(f"p{n}", "P"), {}, secrets, trusted=True) for n in range(offers)}
        snapshot = Snapshot(Catalog("1", {MODEL: model}, {}), accounts, Policy(), lambda *_: FREE)
        clock = Clock(lambda: self.now_s, lambda: 0.0, lambda: "2026-11-24", lambda: "req_1")
        self.gateway: Gateway = gateway_of(snapshot, clock)
        found = Eligible(Model(MODEL, "Alpha", "acme"), steps, (), 10**9)
        self.ranked: Ranked = order(found, lambda one: self.gateway.health.figures(one, self.now_s))

    def answered(
        self, one: Asked, *, by: str = "p1", usage: Usage = CACHED, key: str = "", took_s: float = 0.0, **who: str
    ) -> None:
        attempt = Attempt(
            by, f"{MODEL}:{by}", "alpha-1", 0.0, took_s * 1000, usage=usage, key=key, protocol=one.protocol
        )
        note(self.gateway, one, exchange(**who), attempt)

    def held(self, one: Asked, **who: str) -> Held | None:
        return held_of(self.gateway, one, exchange(**who), self.ranked)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_the_next_turn_finds_the_account_that_answered_the_one_before(fleet: Fleet) -> None:
    fleet.answered(chat("hi"), key="#2")
    held = fleet.held(chat("hi", "hello", "and now?"))
    assert held is not None
    assert (held.offer, held.key_index, held.cached_tokens, held.is_bound) == ("acme/alpha:p1", 1, 1600, False)


def test_another_conversation_does_not(fleet: Fleet) -> None:
    fleet.answered(chat("hi"))
    assert fleet.held(chat("good morning")) is None
    assert fleet.held(chat("hi", system=LONG + "Be brief.")) is None
    assert fleet.held(chat("hi", model="acme/beta")) is None


def test_another_api_key_does_not(fleet: Fleet) -> None:
    fleet.answered(chat("hi", prompt_cache_key="c1"))
    assert fleet.held(chat("hi", prompt_cache_key="c1")) is not None
    assert fleet.held(chat("hi", prompt_cache_key="c1"), key_id="key_2") is None


@pytest.mark.parametrize(
    "named",
    [
        lambda text: (chat(text, prompt_cache_key="c1"), {}),
        lambda text: (chat(text, session_id="c1"), {}),
        lambda text: (chat(text), {"session_id": "c1"}),
        lambda text: (
            asked(
                {
                    "max_tokens": 9,
                    "system": LONG,
                    "messages": [{"role": "user", "content": text}],
                    "metadata": {"user_id": "user_1_session_1"},
                },
                MESSAGES,
            ),
            {},
        ),
        lambda text: (asked({"input": LONG + text, "prompt_cache_key": "c1"}, RESPONSES), {}),
    ],
    ids=["prompt_cache_key", "session_id", "header", "metadata.user_id", "responses"],
)
def test_a_name_that_the_caller_gives_ties_turns_together_whatever_they_begin_with(fleet: Fleet, named: Any) -> None:
    first, who = named("one beginning")
    fleet.answered(first, **who)
    again, who = named("another beginning")
    assert fleet.held(again, **who) is not None


def test_nothing_is_remembered_of_short_prompts_without_state(fleet: Fleet) -> None:
    fleet.answered(chat("hi", system="Be brief."))
    assert len(fleet.gateway.holds) == 0


def test_nothing_is_remembered_where_there_is_no_choice() -> None:
    alone, several_keys = Fleet(1), Fleet(1, keys=2)
    one = exchange()
    one.candidates = one.candidates[:1]
    note(alone.gateway, chat("hi"), one, Attempt("p0", "acme/alpha:p0", "alpha-1", 0.0, usage=CACHED))
    assert len(alone.gateway.holds) == 0
    note(several_keys.gateway, chat("hi"), one, Attempt("p0", "acme/alpha:p0", "alpha-1", 0.0, usage=CACHED, key="#2"))
    held = several_keys.held(chat("hi"))
    assert held is not None
    assert held.key_index == 1


def test_a_cache_lives_five_minutes_from_its_use(fleet: Fleet) -> None:
    fleet.answered(chat("hi"), took_s=20.0)
    fleet.now_s += TTL_S - 21
    assert fleet.held(chat("hi")) is not None
    fleet.now_s += 1
    assert fleet.held(chat("hi")) is None


@pytest.mark.parametrize(
    ("usage", "fields", "ttl_s"),
    [
        (Usage(cache_write_5m_tokens=2000), {}, 300.0),
        (Usage(cache_write_1h_tokens=2000), {}, 3600.0),
        (CACHED, {"prompt_cache_retention": "24h"}, 86_400.0),
    ],
)
def test_a_cache_lives_as_long_as_was_asked_for(
    fleet: Fleet, usage: Usage, fields: dict[str, str], ttl_s: float
) -> None:
    fleet.answered(chat("hi", **fields), usage=usage)
    held = fleet.held(chat("hi"))
    assert held is not None
    assert (held.ttl_s, held.until_s) == (ttl_s, fleet.now_s + ttl_s)


def test_reading_a_long_lived_cache_keeps_it_long(fleet: Fleet) -> None:
    fleet.answered(chat("hi"), usage=Usage(cache_write_1h_tokens=2000))
    fleet.now_s += 3000
    fleet.answered(chat("hi", "hello", "more"))
    fleet.now_s += 3000
    assert fleet.held(chat("hi", "hello", "more", "yes", "and?")) is not None


@pytest.mark.parametrize(
    ("protocol", "usage", "tokens"),
    [
        (CHAT, Usage(input_tokens=2000), 2000),
        (CHAT, Usage(input_tokens=1000), 0),
        (CHAT, Usage(input_tokens=300, cache_read_tokens=1700), 2000),
        (MESSAGES, Usage(input_tokens=2000), 0),
        (MESSAGES, Usage(input_tokens=10, cache_read_tokens=1500, cache_write_5m_tokens=200), 1700),
    ],
)
def test_what_is_cached_is_told_by_the_usage(fleet: Fleet, protocol: str, usage: Usage, tokens: int) -> None:
    attempt = Attempt("p1", "acme/alpha:p1", "alpha-1", 0.0, usage=usage, protocol=protocol)
    note(fleet.gateway, chat("hi"), exchange(), attempt)
    held = fleet.held(chat("hi"))
    assert held is not None
    assert held.cached_tokens == tokens


STATE = [
    (CHAT, {"messages": [{"role": "user", "content": "hi"}]}, {"reasoning_details": [{"data": "x"}]}),
    (
        MESSAGES,
        {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
        {"type": "thinking", "signature": "x"},
    ),
    (RESPONSES, {"input": [{"role": "user", "content": "hi"}]}, {"encrypted_content": "x"}),
    (GEMINI, {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}, {"thoughtSignature": "x"}),
]


@pytest.mark.parametrize(("protocol", "first", "state"), STATE, ids=[one[0] for one in STATE])
def test_state_that_comes_back_is_bound_to_the_account_that_made_it(
    fleet: Fleet, protocol: str, first: dict[str, Any], state: dict[str, Any]
) -> None:
    fleet.answered(asked(first, protocol), usage=Usage(input_tokens=5, reasoning_tokens=50))
    fleet.now_s += 10 * TTL_S
    where = next(name for name in ("messages", "input", "contents") if name in first)
    again = {**first, where: [*first[where], {"role": "assistant", "content": "", "parts": [state], **state}]}
    held = fleet.held(asked(again, protocol))
    assert held is not None
    assert (held.offer, held.is_bound) == ("acme/alpha:p1", True)
    assert is_elsewhere(held, "acme/alpha:p0")
    assert not is_elsewhere(held, "acme/alpha:p1")
    assert fleet.held(asked(first, protocol)) is None


def test_a_tool_with_a_property_of_that_name_binds_nothing(fleet: Fleet) -> None:
    first = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    fleet.answered(asked(first, MESSAGES), usage=Usage(input_tokens=5, reasoning_tokens=50))
    fleet.now_s += 10 * TTL_S
    schema = {"type": "object", "properties": {"type": "thinking", "signature": {"type": "string"}}}
    assert fleet.held(asked({**first, "tools": [{"name": "sign", "input_schema": schema}]}, MESSAGES)) is None


def test_state_of_ours_is_bound_as_well(fleet: Fleet) -> None:
    fleet.answered(chat("hi", system="Think."), usage=Usage(reasoning_tokens=50))
    back = chat("hi", "so", "and?", system="Think.")
    back.has_state = True
    held = fleet.held(back)
    assert held is not None
    assert held.is_bound


def test_nothing_is_elsewhere_where_nothing_is_bound() -> None:
    assert not is_elsewhere(None, "acme/alpha:p0")
    assert not is_elsewhere(Held("acme/alpha:p1"), "acme/alpha:p0")


def test_a_stored_response_is_gone_on_from_where_it_was_made(fleet: Fleet) -> None:
    first = asked({"input": LONG}, RESPONSES)
    first.is_stored = True
    one = exchange()
    one.answer_id = "resp_1"
    note(fleet.gateway, first, one, Attempt("p1", "acme/alpha:p1", "alpha-1", 0.0, usage=CACHED))
    stored = json.dumps([{"type": "reasoning", "encrypted_content": "x"}]).encode()
    held = fleet.held(asked({"input": "and?", "previous_response_id": "resp_1"}, RESPONSES, previous=stored))
    assert held is not None
    assert held.is_bound


def test_the_newest_answer_counts(fleet: Fleet) -> None:
    fleet.answered(chat("hi"), by="p0")
    fleet.answered(chat("hi"), by="p1")
    held = fleet.held(chat("hi"))
    assert held is not None
    assert held.offer == "acme/alpha:p1"


def test_the_conversation_that_rested_longest_is_forgotten_first() -> None:
    holds = Holds(2)
    for name in (b"a", b"b", b"a", b"c"):
        holds.keep(name, Held(name.decode()))
    assert [holds.find(name) is not None for name in (b"a", b"b", b"c")] == [True, False, True]
    assert len(holds) == 2
    holds.limit(1)
    assert holds.find(b"c") is not None
    assert len(holds) == 1


# --- what a conversation begins with


def test_cache_marks_that_move_from_turn_to_turn_do_not_matter() -> None:
    def marked(where: int) -> Asked:
        mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
        messages = [
            {"role": role, "content": [{"type": "text", "text": role, **(mark if place == where else {})}]}
            for place, role in enumerate(("user", "assistant", "user"))
        ]
        return asked({"max_tokens": 9, "system": LONG, "messages": messages}, MESSAGES)

    assert beginning(marked(0)) == beginning(marked(2)) == beginning(marked(9))


def test_long_beginnings_are_told_apart_by_both_their_ends() -> None:
    middle = "x" * 50_000
    heads = {b"".join(beginning(chat(f"{first}{middle}{last}"))) for first in "ab" for last in "cd"}
    assert len(heads) == 4
    assert all(len(head) < 20_000 for head in heads)


TEXT = st.lists(st.sampled_from([*'ab"{}[],\\ :\n', '"role":"user"']), max_size=20).map("".join)
BEFORE = st.lists(
    st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["system", "developer"]), TEXT),
    max_size=3,
)
NESTED = [{"input": {"role": "user"}}]
AFTER = st.lists(
    st.one_of(
        st.builds(
            lambda role, text: {"type": "message", "role": role, "content": text},
            st.sampled_from(["assistant", "user"]),
            TEXT,
        ),
        st.sampled_from(["assistant", "user", "tool"]).map(lambda role: {"role": role, "content": NESTED}),
        st.sampled_from(["assistant", "user", "tool"]).map(lambda role: {"content": NESTED, "role": role}),
        st.just({"type": "reasoning", "summary": []}),
    ),
    max_size=4,
)


@given(BEFORE, TEXT, AFTER, st.booleans(), st.booleans())
def test_every_turn_of_a_conversation_begins_alike(
    before: list[Any], text: str, after: list[Any], role_last: bool, compact: bool
) -> None:
    user = {"content": text, "role": "user"} if role_last else {"role": "user", "content": text}
    one = chat("hi")

    def begun(*messages: Any) -> list[bytes]:
        separators = (",", ":") if compact else (", ", ": ")
        one.fields = {"messages": msgspec.Raw(json.dumps(messages, separators=separators).encode())}
        return beginning(one)

    first = begun(*before, user)
    assert len(first) == len(before) + 1
    assert begun(*before, user, *after) == first
