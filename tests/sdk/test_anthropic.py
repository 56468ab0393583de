"""What people do with Anthropic's SDK, over providers of every protocol."""

import base64

import anthropic
import pytest
from pydantic import BaseModel

from tests.fakes.four import KINDS
from tests.fakes.talking import SCHEMA, TOOL

PROVIDERS = pytest.mark.parametrize("kind", list(KINDS))
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
TOOLS = [{"name": TOOL[0], "description": TOOL[1], "input_schema": SCHEMA}]
THINKING = {"type": "enabled", "budget_tokens": 2000}
CALL = '<<call weather {"city": "Bath"}>>'
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def ask(client: anthropic.Anthropic, kind: str, messages, *, stream: bool = False, **fields) -> anthropic.types.Message:
    asked = {"model": f"acme/over-{kind}", "max_tokens": 8000, "messages": messages} | fields
    if not stream:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as told:
        return told.get_final_message()


def user(text: str) -> list:
    return [{"role": "user", "content": text}]


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@PROVIDERS
@STREAMED
def test_text_with_usage_and_cost(claude, kind, stream) -> None:
    message = ask(claude, kind, user("<<say hello there>><<usage 100 20 60>>"), stream=stream)
    assert text_of(message) == "[simulated] hello there"
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (40, 60, 20)
    assert (message.stop_reason, message.role, message.type) == ("end_turn", "assistant", "message")


@PROVIDERS
def test_the_cost_is_with_the_usage(claude, kind) -> None:
    """In a stream it is with the event that has the final usage; the SDK's own sum of a stream leaves out what it does not know."""
    asked = {"model": f"acme/over-{kind}", "max_tokens": 8000, "messages": user("<<say hi>><<usage 100 20 60>>")}
    whole = claude.messages.create(**asked).usage
    (last,) = [event.usage for event in claude.messages.create(**asked, stream=True) if event.type == "message_delta"]
    cost = pytest.approx((40 * 1.1 + 60 * 0.275 + 20 * 4.4) / 1e6)
    for usage in (whole, last):
        assert usage.model_extra["cost"] == cost
        assert sum(usage.model_extra["cost_details"].values()) == cost
    raw = claude.messages.with_raw_response.create(**asked)
    assert float(raw.headers["x-trunkline-cost"]) == cost


@PROVIDERS
def test_a_stream_gives_text_as_it_comes(claude, kind) -> None:
    with claude.messages.stream(model=f"acme/over-{kind}", max_tokens=8000, messages=user("<<tokens 20>>")) as told:
        pieces = list(told.text_stream)
        final = told.get_final_message()
    assert len(pieces) >= 20
    assert "".join(pieces) == text_of(final)


@PROVIDERS
@STREAMED
def test_thinking_and_tools_in_two_rounds(claude, simulated, kind, stream) -> None:
    messages = user(f"<<think how to begin>>{CALL}{CALL}<<say all done>>")
    for _ in range(2):
        message = ask(claude, kind, messages, stream=stream, tools=TOOLS, thinking=THINKING)
        assert message.stop_reason == "tool_use"
        (call,) = [block for block in message.content if block.type == "tool_use"]
        assert (call.name, call.input) == ("weather", {"city": "Bath"})
        result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "rain"}]}
        messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    assert text_of(ask(claude, kind, messages, stream=stream, tools=TOOLS, thinking=THINKING)) == "[simulated] all done"
    assert {entry["status"] for entry in simulated.log(f"sim-{kind}")} == {200}


@PROVIDERS
def test_an_image_and_a_document_reach_the_provider(claude, simulated, kind) -> None:
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        {"type": "text", "text": "<<say seen>>"},
    ]
    assert text_of(ask(claude, kind, [{"role": "user", "content": content}])) == "[simulated] seen"
    (entry,) = simulated.log(f"sim-{kind}")
    assert PIXEL in entry["text"]
    assert PDF in entry["text"]


PDF = base64.b64encode(b"%PDF-1.4 a document").decode()


class Weather(BaseModel):
    city: str
    degrees: int


@PROVIDERS
def test_a_schema_is_kept_to(claude, kind) -> None:
    parsed = claude.messages.parse(
        model=f"acme/over-{kind}", max_tokens=8000, messages=user("the weather"), output_format=Weather
    )
    assert isinstance(parsed.parsed_output, Weather)


@PROVIDERS
def test_tokens_are_counted(claude, kind) -> None:
    counted = claude.messages.count_tokens(model=f"acme/over-{kind}", messages=user("how long is a piece of string"))
    assert 4 <= counted.input_tokens <= 40


@PROVIDERS
async def test_the_async_client_gets_the_same(async_claude, kind) -> None:
    asked = {"model": f"acme/over-{kind}", "max_tokens": 8000, "messages": user("<<say the same>>")}
    whole = await async_claude.messages.create(**asked)
    async with async_claude.messages.stream(**asked) as told:
        streamed = await told.get_final_message()
    assert text_of(whole) == text_of(streamed) == "[simulated] the same"


def test_the_raw_events_come_in_their_order(claude) -> None:
    events = claude.messages.create(model="acme/over-chat", max_tokens=8000, messages=user("<<say hi>>"), stream=True)
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_models_are_listed_and_found(claude) -> None:
    assert "acme/everywhere" in {model.id for model in claude.models.list()}
    assert claude.models.retrieve("acme/everywhere").max_tokens == 32_000


# --- errors

STATUS = [
    (400, anthropic.BadRequestError, "invalid_request_error"),
    (413, anthropic.RequestTooLargeError, "request_too_large"),
    (429, anthropic.RateLimitError, "rate_limit_error"),
    (500, anthropic.InternalServerError, "api_error"),
]


@PROVIDERS
@pytest.mark.parametrize(("status", "kind_of_error", "type_"), STATUS)
def test_each_status_raises_its_class(claude, kind, status, kind_of_error, type_) -> None:
    with pytest.raises(kind_of_error) as raised:
        ask(claude, kind, user(f"<<fail {status} 9 0>> {kind} "), stream=status == 500)
    assert raised.value.body["error"]["type"] == type_
    assert raised.value.request_id.startswith("req_")


def test_a_wrong_key_and_an_unknown_model_raise_theirs(four, claude) -> None:
    with pytest.raises(anthropic.NotFoundError, match="acme/everywhere"):
        claude.messages.create(model="acme/evrywhere", max_tokens=9, messages=user("hi"))
    wrong = anthropic.Anthropic(base_url=str(claude.base_url), api_key="sk-tl-wrong")
    with wrong, pytest.raises(anthropic.PermissionDeniedError):
        wrong.messages.create(model="acme/everywhere", max_tokens=9, messages=user("hi"))


@PROVIDERS
def test_an_error_inside_a_stream_is_raised_where_it_comes(claude, kind) -> None:
    asked = user("<<tokens 20>><<slow 10>><<errmid 5>>")
    with claude.messages.stream(model=f"acme/over-{kind}", max_tokens=8000, messages=asked) as told:
        assert next(told.text_stream)
        with pytest.raises(anthropic.APIStatusError, match="broke off"):
            list(told.text_stream)
