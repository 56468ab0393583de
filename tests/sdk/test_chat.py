"""What people do with the SDK: text, streams, tools, images, structured output, usage and cost."""

import base64
import json

import openai
import pytest
from pydantic import BaseModel

HELLO = [{"role": "user", "content": "<<say hello there>>"}]
MODEL = "openai/o4-mini"


def test_the_code_of_the_seeds_page_works_but_for_address_and_key(gateway) -> None:
    from openai import OpenAI

    client = OpenAI(base_url=gateway.base_url, api_key="sk-tl-master-of-the-tests-0123456789")
    completion = client.chat.completions.create(
        model="openai/o4-mini",
        messages=[{"role": "user", "content": [{"type": "text", "text": "What is in this image?"}]}],
    )
    assert completion.choices[0].message.content
    client.close()


def test_an_answer_has_text_end_usage_and_cost(client) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=HELLO)
    assert completion.choices[0].message.content.endswith("hello there")
    assert completion.choices[0].finish_reason == "stop"
    usage = completion.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.model_extra["cost"] == pytest.approx(usage.prompt_tokens * 1.1e-6 + usage.completion_tokens * 4.4e-6)
    assert sum(usage.model_extra["cost_details"].values()) == pytest.approx(usage.model_extra["cost"])
    assert completion._request_id.startswith("req_")


def test_a_stream_gives_the_text_in_pieces(client) -> None:
    chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).endswith("hello there")
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


def test_a_stream_gives_usage_and_cost_in_its_last_piece_when_asked(client) -> None:
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True, stream_options=options))
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage]
    assert chunks[-1].usage is usage
    assert chunks[-1].choices == []
    assert usage.model_extra["cost"] > 0
    assert usage.model_extra["cost_details"].keys() == {"prompt", "completion"}


async def test_the_async_client_gets_the_same(async_client) -> None:
    whole = await async_client.chat.completions.create(model=MODEL, messages=HELLO)
    stream = await async_client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert whole.usage.model_extra["cost"] > 0


async def test_many_async_streams_run_at_once(async_client) -> None:
    import asyncio

    async def one(number: int) -> str:
        messages = [{"role": "user", "content": f"<<say {number}>>"}]
        stream = await async_client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    texts = await asyncio.gather(*[one(number) for number in range(40)])
    assert [text.rpartition(" ")[2] for text in texts] == [str(number) for number in range(40)]


def test_the_stream_helper_ends_in_the_whole_answer(client) -> None:
    with client.chat.completions.stream(model=MODEL, messages=HELLO) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content.endswith("hello there")


def test_raw_headers_tell_request_provider_and_cost(client) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    completion = raw.parse()
    assert raw.headers["x-trunkline-provider"] in ("openai", "azure")
    assert float(raw.headers["x-trunkline-cost"]) == pytest.approx(completion.usage.model_extra["cost"])
    assert raw.headers["x-request-id"] == completion._request_id


def test_extra_fields_are_given_by_extra_body(client, simulated) -> None:
    client.chat.completions.create(
        model=MODEL, messages=HELLO, extra_body={"provider": {"require_parameters": True}, "vendor_extra": 1}
    )
    sent = simulated.log()[-1]["body"]
    assert sent["vendor_extra"] == 1
    assert "provider" not in sent


@pytest.mark.parametrize("effort", ["low", "high"])
def test_reasoning_effort_reaches_the_model_and_its_tokens_are_told(client, simulated, effort) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=HELLO, reasoning_effort=effort)
    assert simulated.log()[-1]["body"]["reasoning_effort"] == effort
    assert completion.usage.completion_tokens_details.reasoning_tokens == {"low": 64, "high": 640}[effort]


def test_reasoning_text_reaches_the_client(client) -> None:
    messages = [{"role": "user", "content": "<<think let me see>> <<say four>>"}]
    completion = client.chat.completions.create(model=MODEL, messages=messages)
    assert completion.choices[0].message.reasoning_content == "let me see"
    chunks = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "let me see"


def test_the_older_name_of_the_output_limit_works_too(client, simulated) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=2_000)
    assert completion.choices[0].finish_reason == "stop"
    sent = simulated.log()[-1]["body"]
    assert (sent["max_completion_tokens"], "max_tokens" in sent) == (2_000, False)


def test_stop_works_although_the_model_refuses_it(client, simulated) -> None:
    messages = [{"role": "user", "content": "<<say one two three>>"}]
    completion = client.chat.completions.create(model=MODEL, messages=messages, stop=["two"])
    assert completion.choices[0].message.content.endswith("one ")
    chunks = client.chat.completions.create(model=MODEL, messages=messages, stop="two", stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).endswith("one ")
    assert all("stop" not in entry["body"] for entry in simulated.log())


# --- images


PIXEL = base64.b64encode(b"\x89PNG not really").decode()


@pytest.mark.parametrize("url", ["https://example.com/cat.png", f"data:image/png;base64,{PIXEL}"], ids=["url", "data"])
def test_an_image_reaches_the_model_as_it_is(client, simulated, url) -> None:
    content = [
        {"type": "text", "text": "What is in this image?"},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    ]
    completion = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    assert completion.choices[0].message.content
    assert simulated.log()[-1]["body"]["messages"][0]["content"] == content


# --- tools


def tool(name: str) -> dict:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": name, "description": "look it up", "parameters": schema}}


TOOLS = [tool("weather"), tool("time")]
ONE_CALL = [{"role": "user", "content": '<<call weather {"city": "Oslo"}>> <<say rain in Oslo>>'}]
TWO_CALLS = [
    {
        "role": "user",
        "content": '<<calls [{"name": "weather", "args": {"city": "Oslo"}}, {"name": "time", "args": {"city": "Rome"}}]>>',
    }
]


def test_a_tool_is_called_and_its_result_given_back(client) -> None:
    first = client.chat.completions.create(model=MODEL, messages=ONE_CALL, tools=TOOLS)
    assert first.choices[0].finish_reason == "tool_calls"
    (call,) = first.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Oslo"})
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    second = client.chat.completions.create(
        model=MODEL, messages=[*ONE_CALL, first.choices[0].message, result], tools=TOOLS
    )
    assert second.choices[0].message.content.endswith("rain in Oslo")


def test_tools_are_called_in_parallel(client) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=TWO_CALLS, tools=TOOLS)
    calls = completion.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["weather", "time"]
    assert len({call.id for call in calls}) == 2


def test_arguments_of_a_streamed_call_come_in_pieces(client) -> None:
    stream = client.chat.completions.create(model=MODEL, messages=TWO_CALLS, tools=TOOLS, stream=True)
    calls: dict[int, dict] = {}
    pieces = 0
    for chunk in stream:
        for delta in chunk.choices[0].delta.tool_calls or [] if chunk.choices else []:
            known = calls.setdefault(delta.index, {"id": delta.id, "name": delta.function.name, "arguments": ""})
            known["arguments"] += delta.function.arguments or ""
            pieces += 1
    assert [call["name"] for call in calls.values()] == ["weather", "time"]
    assert [json.loads(call["arguments"]) for call in calls.values()] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert pieces > 2


def test_the_stream_helper_gathers_a_call(client) -> None:
    with client.chat.completions.stream(model=MODEL, messages=ONE_CALL, tools=TOOLS) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"city": "Oslo"}'


async def test_the_async_client_calls_tools_too(async_client) -> None:
    completion = await async_client.chat.completions.create(model=MODEL, messages=ONE_CALL, tools=TOOLS)
    assert completion.choices[0].message.tool_calls[0].function.name == "weather"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "time"}}])
def test_a_call_can_be_demanded(client, choice) -> None:
    messages = [{"role": "user", "content": "what now?"}]
    completion = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS, tool_choice=choice)
    assert completion.choices[0].message.tool_calls


# --- structured output


class Step(BaseModel):
    explanation: str
    output: str


class Reasoning(BaseModel):
    steps: list[Step]
    answer: float


def test_structured_output_is_parsed(client) -> None:
    completion = client.chat.completions.parse(
        model=MODEL, messages=[{"role": "user", "content": "solve 8x = 2"}], response_format=Reasoning
    )
    parsed = completion.choices[0].message.parsed
    assert isinstance(parsed, Reasoning)
    assert parsed.steps


async def test_structured_output_is_parsed_from_a_stream(async_client) -> None:
    messages = [{"role": "user", "content": "solve 8x = 2"}]
    async with async_client.chat.completions.stream(
        model=MODEL, messages=messages, response_format=Reasoning
    ) as stream:
        final = await stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Reasoning)


def test_any_json_can_be_asked_for(client) -> None:
    messages = [{"role": "user", "content": "answer in json"}]
    completion = client.chat.completions.create(model=MODEL, messages=messages, response_format={"type": "json_object"})
    assert isinstance(json.loads(completion.choices[0].message.content), dict)


# --- models


def test_models_are_listed_and_found_by_their_name(client) -> None:
    assert MODEL in {model.id for model in client.models.list()}
    model = client.models.retrieve(MODEL)
    assert (model.id, model.owned_by) == (MODEL, "openai")


async def test_the_async_client_lists_models_too(async_client) -> None:
    assert MODEL in [model.id async for model in async_client.models.list()]


def test_an_unknown_model_is_not_found(client) -> None:
    with pytest.raises(openai.NotFoundError, match="openai/o4-mini"):
        client.models.retrieve("openai/o4-mni")
