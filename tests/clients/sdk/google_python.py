"""Google's SDK for Python over both kinds of paths: text, streams, tools, thoughts, images, schemas, counting, errors by class."""

import asyncio
import base64
from typing import Any

import pydantic
from checks import ADA, KEY, PIXEL, ROOT, backwards, refused, run, two_rounds
from google import genai
from google.genai import errors, types


def client_of(key: str = KEY, *, vertex: bool = True, version: str = "v1", **more: Any) -> genai.Client:
    options = types.HttpOptions(api_version=version, base_url=f"{ROOT}/api/vertex-ai", timeout=60_000, **more)
    return genai.Client(api_key=key, vertexai=vertex, http_options=options)


client = client_of()
CITY = types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"])
LOOKUP = types.FunctionDeclaration(name="lookup", description="look up a key", parameters=CITY)
TOOLS: Any = [types.Tool(function_declarations=[LOOKUP])]
THOUGHTS = types.ThinkingConfig(include_thoughts=True)


class Person(pydantic.BaseModel):
    name: str
    age: int


def generate(model: str, contents: Any, **config: Any) -> Any:
    return client.models.generate_content(model=model, contents=contents, config=types.GenerateContentConfig(**config))


def tokens_of(usage: Any) -> tuple[int, int]:
    return usage.prompt_token_count, usage.candidates_token_count


def check_generate(model: str) -> None:
    prompt, answer = backwards("<<usage 1234 56>> ")
    made = generate(model, prompt, system_instruction="be brief", temperature=0.5, max_output_tokens=100)
    assert (made.text, made.candidates[0].finish_reason) == (answer, types.FinishReason.STOP)
    assert tokens_of(made.usage_metadata) == (1234, 56)


def check_stream(model: str) -> None:
    prompt, answer = backwards("<<usage 77 11>> ")
    chunks = list(client.models.generate_content_stream(model=model, contents=prompt))
    assert len(chunks) >= 2, "it came in one piece"
    assert "".join(chunk.text or "" for chunk in chunks) == answer
    assert tokens_of(chunks[-1].usage_metadata) == (77, 11)


def check_two_rounds_of_tools_with_thoughts(model: str) -> None:
    prompt, results, answer = two_rounds()
    contents = [types.Content(role="user", parts=[types.Part(text=prompt)])]
    config: Any = {"tools": TOOLS, "thinking_config": THOUGHTS}
    config["automatic_function_calling"] = types.AutomaticFunctionCallingConfig(disable=True)
    for city, result in zip(("Oslo", "Rome"), results, strict=True):
        made = generate(model, contents, **config)
        parts = made.candidates[0].content.parts
        assert [part.text for part in parts if part.thought] == [f"round {city}"]
        assert [call.args for call in made.function_calls] == [{"city": city}]
        call = made.function_calls[0]
        given = types.FunctionResponse(id=call.id, name=call.name, response={"result": f"the key is {result}"})
        contents.append(made.candidates[0].content)
        contents.append(types.Content(role="user", parts=[types.Part(function_response=given)]))
    assert generate(model, contents, **config).text == answer


def check_automatic_calls(model: str) -> None:
    _automatic(model, lambda chat, prompt: chat.send_message(prompt).text)


def check_automatic_calls_streamed(model: str) -> None:
    _automatic(model, lambda chat, prompt: "".join(one.text or "" for one in chat.send_message_stream(prompt)))


def _automatic(model: str, send: Any) -> None:
    prompt, results, answer = two_rounds()
    asked: list[str] = []

    def lookup(city: str) -> str:
        """Look up a key."""
        asked.append(city)
        return f"the key is {results[len(asked) - 1]}"

    chat = client.chats.create(model=model, config=types.GenerateContentConfig(tools=[lookup]))
    assert send(chat, prompt) == answer
    assert asked == ["Oslo", "Rome"]


def check_forced_tool(model: str) -> None:
    calling = types.FunctionCallingConfig(mode="ANY", allowed_function_names=["lookup"])
    config = types.ToolConfig(function_calling_config=calling)
    made = generate(model, '<<json {"city":"Rome"}>>', tools=TOOLS, tool_config=config)
    assert made.function_calls[0].args == {"city": "Rome"}


def check_schema(model: str) -> None:
    made = generate(model, ADA, response_mime_type="application/json", response_schema=Person)
    assert made.parsed == Person(name="Ada", age=36)


def check_image(model: str) -> None:
    image = types.Part.from_bytes(data=base64.b64decode(PIXEL), mime_type="image/png")
    assert generate(model, [image, "<<say images={{nimg}}>>"]).text == "images=1"


def check_thoughts(model: str) -> None:
    parts = generate(model, "<<think let me see>> <<say fine>>", thinking_config=THOUGHTS).candidates[0].content.parts
    assert [(bool(part.thought), part.text) for part in parts] == [(True, "let me see"), (False, "fine")]


def check_count_tokens(model: str) -> None:
    assert 20 < client.models.count_tokens(model=model, contents="hello " * 40).total_tokens < 500


def check_models(model: str) -> None:
    # Kept in a name: a client closes its connections when it is collected.
    beta = client_of(version="v1beta")
    names = [one.name for one in beta.models.list(config={"query_base": True, "page_size": 1000})]
    assert any(str(name).endswith(model) for name in names), names[:10]


def check_the_paths_of_the_developer_api(model: str) -> None:
    prompt, answer = backwards()
    developer = client_of(vertex=False, version="v1beta")
    assert developer.models.generate_content(model=model, contents=prompt).text == answer


def check_a_wrong_key_is_a_client_error(model: str) -> None:
    wrong = client_of("sk-wrong")
    error = refused(lambda: wrong.models.generate_content(model=model, contents="x"), errors.ClientError)
    assert error.code in (401, 403)
    assert "API key is not valid" in error.message


def check_an_unknown_model_is_not_found(_: str) -> None:
    assert refused(lambda: generate("acme/nowhere", "x"), errors.ClientError).code == 404


def check_a_bad_request_keeps_the_words_of_the_upstream(model: str) -> None:
    error = refused(lambda: generate(model, "<<fail 400 9>>"), errors.ClientError)
    assert error.code == 400
    assert "scripted failure 400" in error.message


def check_an_error_in_the_stream_is_an_api_error(model: str) -> None:
    prompt = "<<errmid 2>> <<say a longer text to break off>>"
    refused(lambda: list(client.models.generate_content_stream(model=model, contents=prompt)), errors.APIError)


def check_it_gets_over_a_busy_upstream(model: str) -> None:
    patient = client_of(retry_options=types.HttpRetryOptions(attempts=4, initial_delay=0.5))
    for failure in ("429 1 1", "503 1"):
        prompt, answer = backwards(f"<<fail {failure}>> ")
        assert patient.models.generate_content(model=model, contents=prompt).text == answer


def check_concurrent_streams(model: str) -> None:
    async def one() -> bool:
        prompt, answer = backwards()
        stream = await client.aio.models.generate_content_stream(model=model, contents=prompt)
        return "".join([chunk.text or "" async for chunk in stream]) == answer

    async def eight() -> list[bool]:
        return await asyncio.gather(*[one() for _ in range(8)])

    assert asyncio.run(eight()) == [True] * 8


run(globals())
