"""What Anthropic's protocol looks like on the wire: messages, events, thinking, the cache."""

from typing import Any

import pytest

from tests.fakes.simulated import SimulatedProvider
from tests.simulate.conftest import MESSAGES, VERSION, Call

LOOK = {"name": "look", "input_schema": {"type": "object", "properties": {"where": {"type": "string"}}}}
THINKING = {"type": "enabled", "budget_tokens": 1024}


def asking(message: Any = "hi", **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": message}]
    return {"model": "claude-sonnet-4-5", "max_tokens": 2000, "messages": messages} | fields


def folded(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The content that the deltas of a stream add up to, as an SDK puts it together."""
    blocks: list[dict[str, Any]] = []
    for event in events:
        if event["type"] == "content_block_start":
            assert event["index"] == len(blocks)
            blocks.append(dict(event["content_block"]))
        if event["type"] == "content_block_delta":
            delta = event["delta"]
            name = {"input_json_delta": "partial_json"}.get(delta["type"], delta["type"].removesuffix("_delta"))
            blocks[event["index"]][name] = blocks[event["index"]].get(name, "") + delta[name]
    return blocks


def test_a_message_has_the_vendors_fields_and_says_that_it_is_simulated(call: Call) -> None:
    answer = call(MESSAGES, asking())
    assert set(answer.json) == {
        "id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage",
    }  # fmt: skip
    assert answer.json["content"][0]["text"].startswith("[simulated] ")
    assert answer.headers["x-simulated"] == "true"
    assert answer.headers["request-id"].startswith("req_")
    assert answer.json["stop_reason"] == "end_turn"


def test_a_stream_has_the_vendors_events_in_their_order(call: Call) -> None:
    events = call(MESSAGES, asking("<<say one two>>", stream=True)).events
    assert [event["event"] for event in events] == [
        "message_start", "ping", "content_block_start", "content_block_delta", "content_block_delta",
        "content_block_delta", "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert all(event["event"] == event["type"] for event in events)
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}


@pytest.mark.parametrize("message", ["hello", "<<think a b>><<think c>><<redact>><<say so>>", "<<call look {}>>"])
def test_a_stream_adds_up_to_the_message(call: Call, message: str) -> None:
    asked = asking(message, thinking=THINKING, tools=[LOOK])
    whole = call(MESSAGES, asked).json
    streamed = folded(call(MESSAGES, asked | {"stream": True}).events)
    for block in streamed:
        if block["type"] == "tool_use":
            assert block.pop("partial_json") == "{}"
    assert streamed == whole["content"]


def test_without_being_asked_to_think_it_shows_no_thinking(call: Call) -> None:
    content = call(MESSAGES, asking("<<think a>><<redact>><<say b>>")).json["content"]
    assert [block["type"] for block in content] == ["text"]
    content = call(MESSAGES, asking("hello", thinking=THINKING)).json["content"]
    assert [block["type"] for block in content] == ["thinking", "text"]


def test_newer_models_think_unasked_and_omit_the_text(call: Call) -> None:
    asked = asking("<<think a b>><<say c>>", model="claude-opus-5-5")
    block = call(MESSAGES, asked).json["content"][0]
    assert (block["type"], block["thinking"], bool(block["signature"])) == ("thinking", "", True)
    events = call(MESSAGES, asked | {"stream": True}).events
    assert folded(events)[0] == block
    deltas = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
    assert deltas == ["signature_delta", "text_delta", "text_delta"]
    shown = asked | {"thinking": {"type": "adaptive", "display": "summarized"}}
    assert call(MESSAGES, shown).json["content"][0]["thinking"] == "a b"
    assert len(call(MESSAGES, asked | {"thinking": {"type": "disabled"}}).json["content"]) == 1


def test_calls_are_blocks_with_objects_and_ids(call: Call) -> None:
    asked = asking('<<calls [{"name": "look", "args": {"where": "up"}}, {"name": "look"}]>>', tools=[LOOK])
    answer = call(MESSAGES, asked).json
    assert [block["input"] for block in answer["content"]] == [{"where": "up"}, {}]
    assert len({block["id"] for block in answer["content"]}) == 2
    assert answer["stop_reason"] == "tool_use"


def test_the_limit_and_the_stop_sequence_are_told(call: Call) -> None:
    cut = call(MESSAGES, asking("<<say one two three>>", max_tokens=2)).json
    assert (cut["stop_reason"], cut["content"][0]["text"]) == ("max_tokens", "[simulated] one")
    stopped = call(MESSAGES, asking("<<say one two three>>", stop_sequences=["x", "two"])).json
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", "two")


def test_usage_counts_the_cache_beside_the_input(call: Call) -> None:
    usage = call(MESSAGES, asking("<<usage 100 40 30 20 5 7>>")).json["usage"]
    assert usage["input_tokens"] == 58
    assert (usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (30, 12)
    assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 7}
    assert usage["output_tokens"] == 40


def test_a_marked_prompt_is_written_into_the_cache_and_read_from_it(call: Call) -> None:
    marked = {"type": "text", "text": "word " * 2000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    later = {"type": "text", "text": "more " * 2000, "cache_control": {"type": "ephemeral"}}
    first = call(MESSAGES, asking(system=[marked])).json["usage"]
    assert first["cache_creation"]["ephemeral_1h_input_tokens"] > 2000
    second = call(MESSAGES, asking([later], system=[marked])).json["usage"]
    assert second["cache_read_input_tokens"] == first["cache_creation_input_tokens"]
    assert second["cache_creation"]["ephemeral_5m_input_tokens"] > 2000
    assert second["input_tokens"] < 20


def test_what_is_written_is_counted_once_up_to_each_mark(call: Call) -> None:
    longer = {"type": "text", "text": "word " * 2000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    shorter = {"type": "text", "text": "more " * 2000, "cache_control": {"type": "ephemeral"}}
    usage = call(MESSAGES, asking([shorter], system=[longer])).json["usage"]
    assert usage["cache_creation"] == {"ephemeral_1h_input_tokens": 2502, "ephemeral_5m_input_tokens": 2502}
    assert (usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (0, 5004)


def test_a_short_prompt_is_not_kept_unless_the_least_size_is_lowered(call: Call, simulated: SimulatedProvider) -> None:
    marked = asking([{"type": "text", "text": "short", "cache_control": {"type": "ephemeral"}}])
    assert call(MESSAGES, marked).json["usage"]["cache_creation_input_tokens"] == 0
    simulated.behaviour("anthropic-sim", cache_min_tokens=1)
    assert call(MESSAGES, marked).json["usage"]["cache_creation_input_tokens"] > 0
    assert call(MESSAGES, marked).json["usage"]["cache_read_input_tokens"] > 0


def test_tokens_are_counted_without_a_limit_or_an_answer(call: Call) -> None:
    asked = asking("how many?")
    del asked["max_tokens"]
    counted = call(f"{MESSAGES}/count_tokens", asked)
    assert set(counted.json) == {"input_tokens"}
    assert counted.json == {"input_tokens": call(MESSAGES, asking("how many?")).json["usage"]["input_tokens"]}


def test_models_are_listed_in_anthropics_shape_for_its_header(call: Call) -> None:
    listed = call("/anthropic-sim/v1/models?limit=1000", None, VERSION, method="GET").json
    assert listed["data"][0] == listed["data"][0] | {"type": "model", "id": "claude-sonnet-4-5"}
    assert listed["has_more"] is False
