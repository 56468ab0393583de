"""What Anthropic refuses, in its own shape; above all thinking that does not come back as it was given."""

import copy
from typing import Any

import pytest

from tests.fakes.simulated import SimulatedProvider
from tests.simulate.conftest import MESSAGES, VERSION, Answer, Call
from tests.simulate.test_messages_wire import LOOK, THINKING, asking

USER = {"role": "user", "content": "hi"}
USE = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "there"}


def turns(*contents: Any) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[n % 2], "content": content} for n, content in enumerate(contents)]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": None}, "max_tokens: Input should be a valid integer"),
    ({"max_tokens": 0}, "max_tokens: must be greater than or equal to 1"),
    ({"model": ""}, "model: Input should be a valid string"),
    ({"messages": []}, "messages: at least one message is required"),
    ({"n": 1}, "n: Extra inputs are not permitted"),
    ({"context_management": {}}, "context_management: Extra inputs are not permitted"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: Input should be 'user' or 'assistant'"),
    ({"messages": [USER, {"role": "system", "content": "x"}]}, "messages.1: role 'system' is not supported"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, "first message must use the"),
    ({"messages": turns("")}, "messages.0: all messages must have non-empty content"),
    ({"messages": turns([{"type": "text", "text": ""}])}, "text content blocks must be non-empty"),
    ({"messages": turns([{"type": "image_url"}])}, "messages.0.content.0: Input tag 'image_url'"),
    ({"messages": turns("a", "b ")}, "final assistant content cannot end with trailing whitespace"),
    ({"messages": [USER | {"name": "bob"}]}, "messages.0.name: Extra inputs are not permitted"),
    ({"messages": turns("a", [USE | {"input": "{}"}], [RESULT])}, "messages.1.content.0.tool_use.input"),
    ({"messages": turns("a", [USE | {"id": "a:b"}], [RESULT])}, "messages.1.content.0.tool_use.id: String should"),
    ({"messages": turns("a", [USE], "well?")}, "messages.1: `tool_use` ids were found without `tool_result`"),
    ({"messages": turns("a", [USE], [{"type": "text", "text": "b"}, RESULT])}, "messages.1: `tool_use` ids were"),
    ({"messages": turns("a", "b", [RESULT])}, "messages.2.content.0: unexpected `tool_use_id` found"),
    ({"messages": turns("a", [USE], [RESULT, RESULT])}, "messages.2.content.1: each tool_use must have a single"),
    ({"temperature": 1.5}, "temperature: range: 0..1"),
    ({"temperature": 0.5, "top_p": 0.5}, "`temperature` and `top_p` cannot both be specified"),
    ({"model": "claude-opus-4-8", "temperature": 0.5}, "`temperature` is deprecated for this model."),
    ({"tools": [{"name": "a"}]}, "tools.0.custom.input_schema: Field required"),
    ({"tools": [LOOK, LOOK]}, "tools: Tool names must be unique."),
    ({"tools": [LOOK | {"name": "a.b"}]}, "tools.0.custom.name: String should match pattern"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools.0: Input tag 'function' found using 'type'"),
    ({"tool_choice": {"type": "any"}}, "tool_choice may only be specified while providing tools"),
    ({"tools": [LOOK], "tool_choice": {"type": "tool", "name": "b"}}, "Tool 'b' not found in provided tools"),
    ({"tools": [LOOK], "tool_choice": "auto"}, "tool_choice: Input tag"),
    ({"stop_sequences": [" "]}, "stop_sequences: each stop sequence must contain non-whitespace"),
    ({"metadata": {"trace": "x"}}, "metadata.trace: Extra inputs are not permitted"),
    ({"thinking": {"type": "enabled", "budget_tokens": 512}}, "greater than or equal to 1024"),
    ({"thinking": THINKING, "max_tokens": 1024}, "`max_tokens` must be greater than `thinking.budget_tokens`"),
    ({"thinking": THINKING, "temperature": 0.5}, "`temperature` may only be set to 1 when thinking is enabled"),
    ({"thinking": THINKING, "model": "claude-opus-4-8"}, '"thinking.type.enabled" is not supported for this model'),
    ({"thinking": {"type": "adaptive"}}, "adaptive thinking is not supported on this model"),
    (
        {"thinking": THINKING, "tools": [LOOK], "tool_choice": {"type": "any"}},
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    ({"thinking": THINKING, "messages": turns("a", [USE], [RESULT])}, "messages.1.content.0.type: Expected `thinking`"),
    (
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        "'additionalProperties' must be explicitly set to false",
    ),
    ({"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "2h"}}]}, "'5m' or '1h'"),
]


def refused(answer: Answer) -> str:
    assert answer.status == 400
    assert answer.json["type"] == "error"
    assert answer.json["request_id"] == answer.headers["request-id"]
    assert answer.json["error"]["type"] == "invalid_request_error"
    return str(answer.json["error"]["message"])


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_a_wrong_request_is_refused_with_its_place(call: Call, fields: dict[str, Any], message: str) -> None:
    assert message in refused(call(MESSAGES, asking(**fields)))


def test_the_version_and_the_limit_must_be_there(call: Call) -> None:
    assert refused(call(MESSAGES, asking(), {})) == "anthropic-version: header is required"
    asked = asking()
    del asked["max_tokens"]
    assert refused(call(MESSAGES, asked)) == "max_tokens: Field required"


def test_marks_are_at_most_four_and_the_longer_ones_come_first(call: Call) -> None:
    def marked(*ttls: str) -> dict[str, Any]:
        return asking([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": t}} for t in ttls])

    assert call(MESSAGES, marked("1h", "1h", "5m", "5m")).status == 200
    assert "maximum of 4 blocks" in refused(call(MESSAGES, marked(*["5m"] * 5)))
    assert "must not come after a ttl='5m'" in refused(call(MESSAGES, marked("5m", "1h")))


def test_a_beta_takes_its_field_and_a_thread_is_refused_as_the_sdk_reads_it(call: Call) -> None:
    beta = VERSION | {"anthropic-beta": "context-management-2025-06-27,message-threads-2026-08-12"}
    assert call(MESSAGES, asking(context_management={"edits": []}), beta).status == 200
    error = call(MESSAGES, asking(thread={"type": "create"}), beta).json["error"]
    assert error["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


def test_keys_are_looked_for_in_both_headers(call: Call, simulated: SimulatedProvider) -> None:
    simulated.behaviour("anthropic-sim", api_keys=["good"])
    for header in ({"x-api-key": "good"}, {"authorization": "Bearer good"}):
        assert call(MESSAGES, asking(), VERSION | header).status == 200
    answer = call(MESSAGES, asking(), VERSION | {"x-api-key": "bad"})
    assert (answer.status, answer.json["error"]["type"]) == (401, "authentication_error")
    assert b"bad" not in answer.body


def test_consecutive_turns_of_one_role_are_taken_as_one(call: Call) -> None:
    messages = [USER, {"role": "assistant", "content": [USE]}, {"role": "user", "content": [RESULT]}, USER]
    assert call(MESSAGES, asking(messages=messages, tools=[LOOK])).status == 200


def test_system_turns_are_taken_by_the_models_that_can(call: Call) -> None:
    messages = [USER, {"role": "system", "content": "be brief"}]
    assert call(MESSAGES, asking(messages=messages, model="claude-opus-4-8")).status == 200


# Thinking that comes back


def first_round(call: Call, **fields: Any) -> dict[str, Any]:
    """A request, its answer with three blocks of thinking and a call, and the result: the second round."""
    asked = asking('<<think a b>><<think c>><<redact>><<call look {"where": "up"}>>', tools=[LOOK], thinking=THINKING)
    asked |= fields
    content = call(MESSAGES, asked).json["content"]
    result = {"type": "tool_result", "tool_use_id": content[-1]["id"], "content": "there"}
    more = [{"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
    return asked | {"messages": asked["messages"] + more}


def test_thinking_that_comes_back_unchanged_is_taken(call: Call) -> None:
    second = call(MESSAGES, first_round(call))
    assert second.status == 200
    assert second.json["content"][-1]["text"] == "[simulated] done"


def changed(content: list[dict[str, Any]], change: str) -> None:
    if change == "signature":
        content[0]["signature"] = content[0]["signature"][:-6] + "AAAAA="
    elif change == "swapped signatures":
        content[0]["signature"], content[1]["signature"] = content[1]["signature"], content[0]["signature"]
    elif change == "text":
        content[0]["thinking"] += "."
    elif change == "order":
        content[0], content[1] = content[1], content[0]
    elif change == "one left out":
        del content[1]
    elif change == "redacted left out":
        del content[2]
    elif change == "redacted changed":
        content[2]["data"] = content[2]["data"][:-6] + "AAAAA="
    elif change == "foreign":
        content[0]["signature"] = "RXJvYm90"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("signature", "messages.1.content.0: Invalid `signature` in `thinking` block"),
        ("swapped signatures", "messages.1.content.0: Invalid `signature` in `thinking` block"),
        ("text", "messages.1.content.0: Invalid `signature` in `thinking` block"),
        ("foreign", "messages.1.content.0: Invalid `signature` in `thinking` block"),
        ("order", "cannot be modified"),
        ("one left out", "cannot be modified"),
        ("redacted left out", "cannot be modified"),
        ("redacted changed", "messages.1.content.2: Invalid `data` in `redacted_thinking` block"),
    ],
)
def test_thinking_that_comes_back_otherwise_is_refused(call: Call, change: str, message: str) -> None:
    second = first_round(call)
    changed(second["messages"][1]["content"], change)
    assert message in refused(call(MESSAGES, second))


def test_thinking_of_another_answer_does_not_stand_before_this_ones_calls(call: Call) -> None:
    one, other = first_round(call), first_round(call, system="another")
    one["messages"][1]["content"][:3] = other["messages"][1]["content"][:3]
    assert "Invalid `signature`" in refused(call(MESSAGES, one))


def test_thinking_of_another_seed_or_vendor_is_not_known(call: Call) -> None:
    second = first_round(call)
    assert call(MESSAGES.replace("anthropic-sim", "bedrock-sim"), second).status == 200
    del second["messages"][1]["content"][0]["signature"]
    assert "thinking.signature: Field required" in refused(call(MESSAGES, second))


def test_newer_models_bind_thinking_to_what_stood_before_it(call: Call) -> None:
    second = first_round(call, model="claude-fable-5-1", thinking={"type": "adaptive"}, system="one")
    assert call(MESSAGES, second).status == 200
    moved = copy.deepcopy(second)
    moved["system"] = [{"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}}]
    assert call(MESSAGES, moved).status == 200
    assert "bound to a different conversation" in refused(call(MESSAGES, second | {"system": "two"}))
