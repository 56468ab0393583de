"""What people do with the Responses API of OpenAI's SDK, over providers of every protocol."""

import base64

import openai
import pytest
from pydantic import BaseModel

from tests.fakes.four import KINDS
from tests.fakes.gateway import MASTER_KEY
from tests.fakes.talking import SCHEMA, TOOL

PROVIDERS = pytest.mark.parametrize("kind", list(KINDS))
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
TOOLS = [{"type": "function", "name": TOOL[0], "description": TOOL[1], "parameters": SCHEMA, "strict": False}]
CALL = '<<call weather {"city": "Bath"}>>'
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = base64.b64encode(b"%PDF-1.4 a document").decode()


def ask(client: openai.OpenAI, kind: str, asked, *, stream: bool = False, **fields):
    told = {"model": f"acme/over-{kind}", "input": asked} | fields
    if not stream:
        return client.responses.create(**told)
    (*_, last) = client.responses.create(**told, stream=True)
    assert last.type == "response.completed"
    return last.response


@PROVIDERS
@STREAMED
def test_text_with_usage_and_cost(responses, kind, stream) -> None:
    told = ask(responses, kind, "<<say hello there>><<usage 100 20 60>>", stream=stream)
    assert told.output_text == "[simulated] hello there"
    usage = told.usage
    assert (usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens) == (100, 60, 20)
    assert usage.model_extra["cost"] == pytest.approx((40 * 1.1 + 60 * 0.275 + 20 * 4.4) / 1e6)
    assert (told.status, told.model) == ("completed", told.model)


@PROVIDERS
def test_a_stream_has_its_events_in_their_order(responses, kind) -> None:
    with responses.responses.stream(model=f"acme/over-{kind}", input="<<tokens 20>>") as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) >= 20
    assert "".join(deltas) == final.output_text


@PROVIDERS
@STREAMED
def test_reasoning_and_tools_in_two_rounds(responses, simulated, kind, stream) -> None:
    """With everything kept by the client."""
    items = [{"role": "user", "content": f"<<think how to begin>>{CALL}{CALL}<<say all done>>"}]
    fields = {
        "tools": TOOLS, "store": False, "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low", "summary": "auto"},
    }  # fmt: skip
    for _ in range(2):
        told = ask(responses, kind, items, stream=stream, **fields)
        (call,) = [item for item in told.output if item.type == "function_call"]
        assert call.name == "weather"
        items += [item.to_dict() for item in told.output]
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": "rain"})
    assert ask(responses, kind, items, stream=stream, **fields).output_text == "[simulated] all done"
    assert {entry["status"] for entry in simulated.log(f"sim-{kind}")} == {200}


@PROVIDERS
@STREAMED
def test_tools_in_two_rounds_with_the_conversation_kept_here(responses, simulated, kind, stream) -> None:
    told = ask(responses, kind, f"<<think>>{CALL}{CALL}<<say all done>>", stream=stream, tools=TOOLS)
    for _ in range(2):
        (call,) = [item for item in told.output if item.type == "function_call"]
        result = [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
        told = ask(responses, kind, result, stream=stream, tools=TOOLS, previous_response_id=told.id)
    assert told.output_text == "[simulated] all done"


@PROVIDERS
def test_an_image_and_a_document_reach_the_provider(responses, simulated, kind) -> None:
    content = [
        {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
        {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
        {"type": "input_text", "text": "<<say seen>>"},
    ]
    assert ask(responses, kind, [{"role": "user", "content": content}]).output_text == "[simulated] seen"
    (entry,) = simulated.log(f"sim-{kind}")
    assert PIXEL in entry["text"]
    assert PDF in entry["text"]


class Weather(BaseModel):
    city: str
    degrees: int


@PROVIDERS
def test_a_schema_is_kept_to(responses, kind) -> None:
    told = responses.responses.parse(model=f"acme/over-{kind}", input="the weather", text_format=Weather)
    assert isinstance(told.output_parsed, Weather)


@PROVIDERS
def test_tokens_are_counted(responses, kind) -> None:
    counted = responses.responses.input_tokens.count(model=f"acme/over-{kind}", input="how long is a piece of string")
    assert 4 <= counted.input_tokens <= 40


@PROVIDERS
async def test_the_async_client_gets_the_same(four, simulated, kind) -> None:
    async with openai.AsyncOpenAI(base_url=four.base_url, api_key=MASTER_KEY, max_retries=0, timeout=20) as client:
        asked = {"model": f"acme/over-{kind}", "input": "<<say the same>>"}
        whole = await client.responses.create(**asked)
        async with client.responses.stream(**asked) as stream:
            streamed = await stream.get_final_response()
    assert whole.output_text == streamed.output_text == "[simulated] the same"


@PROVIDERS
@pytest.mark.parametrize(
    ("status", "kind_of_error"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
def test_each_status_raises_its_class(responses, kind, status, kind_of_error) -> None:
    with pytest.raises(kind_of_error) as raised:
        ask(responses, kind, f"<<fail {status} 9 0>> of responses {kind} ", stream=status == 500)
    assert raised.value.request_id.startswith("req_")


@PROVIDERS
def test_an_error_inside_a_stream_is_told_where_it_comes(responses, kind) -> None:
    events = responses.responses.create(
        model=f"acme/over-{kind}", input="<<tokens 20>><<slow 10>><<errmid 5>>", stream=True
    )
    told = [event for event in events if event.type != "response.output_text.delta"]
    # The SDK hands these on: https://platform.openai.com/docs/api-reference/responses-streaming/error
    assert "broke off" in told[-1].to_json()
    assert told[-1].type in ("error", "response.failed")
