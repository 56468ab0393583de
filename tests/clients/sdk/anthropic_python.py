"""The Anthropic SDK for Python: text, streams, tools, thinking with signatures, images, schemas, counting, errors by class."""

import asyncio
from typing import Any

import anthropic
import pydantic
from checks import ADA, CITY, KEY, PIXEL, ROOT, backwards, refused, run, two_rounds

BASE = f"{ROOT}/api/anthropic"
client = anthropic.Anthropic(base_url=BASE, api_key=KEY, max_retries=2, timeout=60)
TOOL: Any = {"name": "lookup", "description": "look up a key", "input_schema": CITY}
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}
EPHEMERAL = {"type": "ephemeral"}


class Person(pydantic.BaseModel):
    name: str
    age: int


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def create(model: str, content: Any, **more: Any) -> Any:
    return client.messages.create(model=model, max_tokens=100, messages=user(content), **more)


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def check_messages(model: str) -> None:
    prompt, answer = backwards("<<usage 1234 56>> ")
    made = create(model, prompt, system="be brief")
    assert (text_of(made), made.type, made.role, made.stop_reason) == (answer, "message", "assistant", "end_turn")
    assert (made.usage.input_tokens, made.usage.output_tokens) == (1234, 56)


def check_messages_say_their_cost(model: str) -> None:
    usage = create(model, "<<usage 1000000 1000000>> <<say x>>").usage
    assert float(usage.cost) == 5.5, usage


def check_the_key_as_an_auth_token(model: str) -> None:
    prompt, answer = backwards()
    other = anthropic.Anthropic(base_url=BASE, auth_token=KEY, api_key=None)
    assert text_of(other.messages.create(model=model, max_tokens=100, messages=user(prompt))) == answer


def check_the_key_as_an_api_key_header(model: str) -> None:
    # How this SDK sent it up to version 1, and others still do.
    prompt, answer = backwards()
    assert text_of(create(model, prompt, extra_headers={"authorization": "", "x-api-key": KEY})) == answer


def check_stream(model: str) -> None:
    prompt, answer = backwards("<<usage 77 11>> ")
    with client.messages.stream(model=model, max_tokens=100, messages=user(prompt)) as stream:
        events = list(stream)
        made = stream.get_final_message()
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert kinds.count("content_block_delta") >= 2, "it came in one piece"
    assert (text_of(made), made.stop_reason) == (answer, "end_turn")
    assert (made.usage.input_tokens, made.usage.output_tokens) == (77, 11)


def check_two_rounds_of_tools_with_thinking(model: str) -> None:
    def ask(messages: Any) -> Any:
        return client.messages.create(model=model, max_tokens=4000, messages=messages, tools=[TOOL], thinking=THINKING)

    _rounds(ask)


def check_two_rounds_of_tools_with_thinking_streamed(model: str) -> None:
    def ask(messages: Any) -> Any:
        with client.messages.stream(
            model=model, max_tokens=4000, messages=messages, tools=[TOOL], thinking=THINKING
        ) as stream:
            return stream.get_final_message()

    _rounds(ask)


def _rounds(ask: Any) -> None:
    prompt, results, answer = two_rounds()
    messages = user(prompt)
    for city, result in zip(("Oslo", "Rome"), results, strict=True):
        made = ask(messages)
        use = made.content[-1]
        assert [(block.thinking, bool(block.signature)) for block in made.content if block.type == "thinking"] == [
            (f"round {city}", True)
        ], made.content
        assert (made.stop_reason, use.type, use.input) == ("tool_use", "tool_use", {"city": city})
        messages.append(
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in made.content]}
        )
        text = [{"type": "text", "text": f"the key is {result}"}]
        messages += user([{"type": "tool_result", "tool_use_id": use.id, "content": text}])
    assert text_of(ask(messages)) == answer


def check_forced_tool(model: str) -> None:
    choice: Any = {"type": "tool", "name": "lookup"}
    made = create(model, '<<json {"city":"Rome"}>>', tools=[TOOL], tool_choice=choice)
    assert [block.input for block in made.content if block.type == "tool_use"] == [{"city": "Rome"}]


def check_thinking_streamed(model: str) -> None:
    prompt = user("<<think let me see>> <<say fine>>")
    with client.messages.stream(model=model, max_tokens=4000, thinking=THINKING, messages=prompt) as stream:
        thought, text = stream.get_final_message().content
    assert (thought.type, thought.thinking, text.type, text.text) == ("thinking", "let me see", "text", "fine")


def check_image(model: str) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "<<say images={{nimg}}>>"}]
    assert text_of(create(model, content)) == "images=1"


def check_cache_marks(model: str) -> None:
    prompt, answer = backwards()
    system: Any = [{"type": "text", "text": "a long text", "cache_control": EPHEMERAL}]
    content = [{"type": "text", "text": prompt, "cache_control": EPHEMERAL}]
    assert text_of(create(model, content, system=system)) == answer


def check_schema(model: str) -> None:
    made = client.messages.parse(model=model, max_tokens=100, messages=user(ADA), output_format=Person)
    assert made.parsed_output == Person(name="Ada", age=36)


def check_beta(model: str) -> None:
    prompt, answer = backwards()
    betas: Any = ["context-1m-2025-08-07"]
    made = client.beta.messages.create(model=model, max_tokens=100, betas=betas, messages=user(prompt))
    assert text_of(made) == answer


def check_tool_runner(model: str) -> None:
    # It asks for a thread at the server first, and goes on without one after the refusal that it knows.
    prompt, results, answer = two_rounds()
    left = iter(results)

    @anthropic.beta_tool
    def lookup(city: str) -> str:
        """Look up a key.

        Args:
            city: the city
        """
        return f"the key for {city} is {next(left)}"

    runner = client.beta.messages.tool_runner(model=model, max_tokens=100, tools=[lookup], messages=user(prompt))
    assert text_of(runner.until_done()) == answer


def check_count_tokens(model: str) -> None:
    counted = client.messages.count_tokens(model=model, system="be brief", messages=user("hello " * 40), tools=[TOOL])
    assert 20 < counted.input_tokens < 500


def check_models(model: str) -> None:
    assert model in [one.id for one in client.models.list(limit=1000)]
    assert client.models.retrieve(model).id == model


def check_a_wrong_key_is_an_authentication_error(model: str) -> None:
    wrong = anthropic.Anthropic(base_url=BASE, api_key="sk-wrong", max_retries=0)
    error = refused(
        lambda: wrong.messages.create(model=model, max_tokens=5, messages=user("x")),
        anthropic.AuthenticationError,
        anthropic.PermissionDeniedError,
    )
    assert "API key is not valid" in error.body["error"]["message"]


def check_an_unknown_model_is_not_found(_: str) -> None:
    error = refused(lambda: create("acme/nowhere", "x"), anthropic.NotFoundError)
    assert error.body["error"]["message"]


def check_a_bad_request_keeps_the_words_of_the_upstream(model: str) -> None:
    error = refused(lambda: create(model, "<<fail 400 9>>"), anthropic.BadRequestError)
    assert "scripted failure 400" in error.body["error"]["message"]


def check_an_error_in_the_stream_is_an_api_error(model: str) -> None:
    def ask() -> None:
        prompt = user("<<errmid 2>> <<say a longer text to break off>>")
        with client.messages.stream(model=model, max_tokens=100, messages=prompt) as stream:
            stream.until_done()

    refused(ask, anthropic.APIError)


def check_it_gets_over_a_busy_upstream(model: str) -> None:
    for failure in ("429 1 1", "529 1"):
        prompt, answer = backwards(f"<<fail {failure}>> ")
        assert text_of(create(model, prompt)) == answer


def check_concurrent_streams(model: str) -> None:
    async def one(asking: anthropic.AsyncAnthropic) -> bool:
        prompt, answer = backwards()
        async with asking.messages.stream(model=model, max_tokens=100, messages=user(prompt)) as stream:
            return text_of(await stream.get_final_message()) == answer

    async def eight() -> list[bool]:
        async with anthropic.AsyncAnthropic(base_url=BASE, api_key=KEY, timeout=60) as asking:
            return await asyncio.gather(*[one(asking) for _ in range(8)])

    assert asyncio.run(eight()) == [True] * 8


run(globals())
