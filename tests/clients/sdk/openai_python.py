"""The OpenAI SDK for Python over Chat Completions and Responses: text, streams, tools, images, schemas, thinking, errors by class."""

import asyncio
import json
from typing import Any

import openai
import pydantic
from checks import ADA, CITY, KEY, PIXEL, ROOT, backwards, refused, run, two_rounds

BASE = f"{ROOT}/api/v1"
client = openai.OpenAI(base_url=BASE, api_key=KEY, max_retries=2, timeout=60)
FUNCTION: Any = {"name": "lookup", "description": "look up a key", "parameters": CITY, "strict": True}
TOOL: Any = {"type": "function", "function": FUNCTION}
IMAGE = f"data:image/png;base64,{PIXEL}"
EVENTS = [
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]


class Person(pydantic.BaseModel):
    name: str
    age: int


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def chat(model: str, content: Any, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=user(content), **more)


# --- Chat Completions


def check_chat(model: str) -> None:
    prompt, answer = backwards("<<usage 1234 56>> ")
    made = chat(model, prompt)
    assert made.choices[0].message.content == answer
    assert made.choices[0].finish_reason == "stop"
    assert (made.usage.prompt_tokens, made.usage.completion_tokens, made.usage.total_tokens) == (1234, 56, 1290)


def check_chat_says_its_cost(model: str) -> None:
    made = chat(model, "<<usage 1000000 1000000>> <<say x>>")
    assert float(made.usage.cost) == 5.5, made.usage


def check_chat_stream(model: str) -> None:
    prompt, answer = backwards("<<usage 77 11>> ")
    chunks = list(chat(model, prompt, stream=True, stream_options={"include_usage": True}))
    deltas = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(filter(None, deltas)) == answer
    assert len(list(filter(None, deltas))) >= 2, "it came in one piece"
    assert [one.choices[0].finish_reason for one in chunks if one.choices][-1] == "stop"
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (77, 11)


def check_chat_two_rounds_of_tools(model: str) -> None:
    _chat_rounds(model, lambda messages: client.chat.completions.create(model=model, messages=messages, tools=[TOOL]))


def check_chat_two_rounds_of_tools_streamed(model: str) -> None:
    def ask(messages: Any) -> Any:
        with client.chat.completions.stream(model=model, messages=messages, tools=[TOOL]) as stream:
            return stream.get_final_completion()

    _chat_rounds(model, ask)


def _chat_rounds(model: str, ask: Any) -> None:
    prompt, results, answer = two_rounds()
    messages = user(prompt)
    for city, result in zip(("Oslo", "Rome"), results, strict=True):
        choice = ask(messages).choices[0]
        call = choice.message.tool_calls[0]
        assert choice.finish_reason == "tool_calls"
        assert json.loads(call.function.arguments) == {"city": city}
        # The whole message goes back, with whatever extra fields it had: thoughts and their signatures are in them.
        kept = choice.message.model_dump(exclude_none=True, exclude={"parsed"})
        for one in kept["tool_calls"]:
            one["function"].pop("parsed_arguments", None)
            one.pop("index", None)
        messages += [kept, {"role": "tool", "tool_call_id": call.id, "content": f"the key is {result}"}]
    assert ask(messages).choices[0].message.content == answer


def check_chat_parallel_calls(model: str) -> None:
    wanted = [{"name": "lookup", "args": {"city": city}} for city in "AB"]
    calls = chat(model, f"<<calls {json.dumps(wanted)}>>", tools=[TOOL]).choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["A", "B"]
    assert calls[0].id != calls[1].id


def check_chat_forced_tool(model: str) -> None:
    choice: Any = {"type": "function", "function": {"name": "lookup"}}
    made = chat(model, '<<json {"city":"Rome"}>>', tools=[TOOL], tool_choice=choice)
    assert json.loads(made.choices[0].message.tool_calls[0].function.arguments) == {"city": "Rome"}


def check_chat_schema(model: str) -> None:
    made = client.chat.completions.parse(model=model, messages=user(ADA), response_format=Person)
    assert made.choices[0].message.parsed == Person(name="Ada", age=36)


def check_chat_image(model: str) -> None:
    content = [{"type": "text", "text": "<<say images={{nimg}}>>"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    assert chat(model, content).choices[0].message.content == "images=1"


def check_chat_thinking(model: str) -> None:
    message = chat(model, "<<think let me see>> <<say fine>>", reasoning_effort="low").choices[0].message
    assert (message.reasoning_content, message.content) == ("let me see", "fine")


def check_chat_concurrent_streams(model: str) -> None:
    async def one(asking: openai.AsyncOpenAI) -> bool:
        prompt, answer = backwards()
        stream = await asking.chat.completions.create(model=model, messages=user(prompt), stream=True)
        return "".join([one.choices[0].delta.content or "" async for one in stream if one.choices]) == answer

    async def eight() -> list[bool]:
        async with openai.AsyncOpenAI(base_url=BASE, api_key=KEY, timeout=60) as asking:
            return await asyncio.gather(*[one(asking) for _ in range(8)])

    assert asyncio.run(eight()) == [True] * 8


# --- Responses


def check_responses(model: str) -> None:
    prompt, answer = backwards("<<usage 1234 56>> ")
    made = client.responses.create(model=model, input=prompt, instructions="be brief")
    assert (made.output_text, made.status) == (answer, "completed")
    assert (made.usage.input_tokens, made.usage.output_tokens) == (1234, 56)


def check_responses_stream(model: str) -> None:
    prompt, answer = backwards()
    events = list(client.responses.create(model=model, input=user(prompt), stream=True))
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert [kind for kind in EVENTS if kind not in kinds] == []
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == answer
    assert events[-1].response.output_text == answer
    assert events[-1].response.usage


def check_responses_stream_helper(model: str) -> None:
    prompt, answer = backwards()
    with client.responses.stream(model=model, input=prompt) as stream:
        assert stream.until_done().get_final_response().output_text == answer


def check_responses_two_rounds_of_tools(model: str) -> None:
    prompt, results, answer = two_rounds()
    items = user(prompt)
    asked: Any = {"tools": [{"type": "function", **FUNCTION}], "store": False}
    asked |= {"include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low", "summary": "auto"}}
    for city, result in zip(("Oslo", "Rome"), results, strict=True):
        output = client.responses.create(model=model, input=items, **asked).output
        assert [part.text for item in output if item.type == "reasoning" for part in item.summary] == [f"round {city}"]
        call = next(item for item in output if item.type == "function_call")
        assert json.loads(call.arguments) == {"city": city}
        items += [item.model_dump(exclude_none=True) for item in output]
        items += [{"type": "function_call_output", "call_id": call.call_id, "output": f"the key is {result}"}]
    assert client.responses.create(model=model, input=items, **asked).output_text == answer


def check_responses_schema(model: str) -> None:
    assert client.responses.parse(model=model, input=ADA, text_format=Person).output_parsed == Person(
        name="Ada", age=36
    )


def check_responses_image(model: str) -> None:
    content = [{"type": "input_text", "text": "<<say images={{nimg}}>>"}, {"type": "input_image", "image_url": IMAGE}]
    assert client.responses.create(model=model, input=user(content)).output_text == "images=1"


def check_responses_continue_a_stored_one(model: str) -> None:
    first = client.responses.create(model=model, input="first", store=True)
    second = client.responses.create(model=model, input="<<say seen={{nmsg}}>>", previous_response_id=first.id)
    assert second.output_text == "seen=3"


# --- the rest


def check_models(model: str) -> None:
    assert model in [one.id for one in client.models.list()]
    assert client.models.retrieve(model).id == model


def check_a_wrong_key_is_an_authentication_error(model: str) -> None:
    wrong = openai.OpenAI(base_url=BASE, api_key="sk-wrong", max_retries=0)
    error = refused(
        lambda: wrong.chat.completions.create(model=model, messages=user("x")),
        openai.AuthenticationError,
        openai.PermissionDeniedError,
    )
    assert "API key is not valid" in error.body["message"]


def check_an_unknown_model_is_not_found(_: str) -> None:
    error = refused(lambda: chat("acme/nowhere", "x"), openai.NotFoundError)
    assert error.body["message"]


def check_a_bad_request_keeps_the_words_of_the_upstream(model: str) -> None:
    error = refused(lambda: chat(model, "<<fail 400 9>>"), openai.BadRequestError)
    assert "scripted failure 400" in error.body["message"]


def check_an_error_in_the_stream_is_an_api_error(model: str) -> None:
    prompt = "<<errmid 2>> <<say a longer text to break off>>"
    refused(lambda: list(chat(model, prompt, stream=True)), openai.APIError)
    refused(lambda: _failed_response(model, prompt), openai.APIError, AssertionError)


def _failed_response(model: str, prompt: str) -> None:
    last = list(client.responses.create(model=model, input=prompt, stream=True))[-1]
    assert last.type != "response.failed"


def check_it_gets_over_a_busy_upstream(model: str) -> None:
    for failure in ("429 1 1", "500 1"):
        prompt, answer = backwards(f"<<fail {failure}>> ")
        assert chat(model, prompt).choices[0].message.content == answer


def check_request_ids(model: str) -> None:
    raw = client.chat.completions.with_raw_response.create(model=model, messages=user("<<say x>>"))
    assert raw.headers["x-request-id"] == raw.headers["x-zenmux-requestid"]


run(globals())
