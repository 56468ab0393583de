"""What people do with Google's SDK, over providers of every protocol."""

import base64

import pytest
from google.genai import errors, types
from pydantic import BaseModel

from tests.fakes.four import KINDS
from tests.fakes.talking import SCHEMA, TOOL

PROVIDERS = pytest.mark.parametrize("kind", list(KINDS))
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
TOOLS = [
    types.Tool(function_declarations=[{"name": TOOL[0], "description": TOOL[1], "parameters_json_schema": SCHEMA}])
]
CALL = '<<call weather {"city": "Bath"}>>'
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = b"%PDF-1.4 a document"


def send(chat, message, *, stream: bool):
    """One turn of a chat: the parts of the answer, and its last chunk."""
    chunks = list(chat.send_message_stream(message)) if stream else [chat.send_message(message)]
    parts = [part for one in chunks if one.candidates for part in one.candidates[0].content.parts or []]
    return parts, chunks[-1]


def text_of(parts) -> str:
    return "".join(part.text for part in parts if part.text and not part.thought)


@PROVIDERS
@STREAMED
def test_text_with_usage(google, kind, stream) -> None:
    chat = google.chats.create(model=f"acme/over-{kind}")
    parts, last = send(chat, "<<say hello there>><<usage 100 20 60>>", stream=stream)
    assert text_of(parts) == "[simulated] hello there"
    usage = last.usage_metadata
    made = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    assert (usage.prompt_token_count, usage.cached_content_token_count, made) == (100, 60, 20)
    assert last.candidates[0].finish_reason == types.FinishReason.STOP


@PROVIDERS
def test_a_stream_gives_text_as_it_comes(google, kind) -> None:
    chunks = list(google.models.generate_content_stream(model=f"acme/over-{kind}", contents="<<tokens 20>>"))
    assert len([chunk for chunk in chunks if chunk.text]) >= 20


@PROVIDERS
def test_the_cost_is_in_the_body_and_in_a_header(google, kind) -> None:
    """The SDK's own type of the usage leaves out what it does not know."""
    told = google.models.generate_content(
        model=f"acme/over-{kind}",
        contents="<<say hi>><<usage 100 20 60>>",
        config=types.GenerateContentConfig(should_return_http_response=True),
    )
    cost = pytest.approx((40 * 1.1 + 60 * 0.275 + 20 * 4.4) / 1e6)
    assert float(told.sdk_http_response.headers["x-trunkline-cost"]) == cost


@PROVIDERS
@STREAMED
def test_thoughts_and_tools_in_two_rounds(google, simulated, kind, stream) -> None:
    """In a chat, which keeps every chunk as it came."""
    config = types.GenerateContentConfig(
        tools=TOOLS,
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=2000),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    chat = google.chats.create(model=f"acme/over-{kind}", config=config)
    parts, _ = send(chat, f"<<think how to begin>>{CALL}{CALL}<<say all done>>", stream=stream)
    assert "how to begin" in "".join(part.text or "" for part in parts if part.thought)
    for _ in range(2):
        (call,) = [part.function_call for part in parts if part.function_call]
        assert (call.name, call.args) == ("weather", {"city": "Bath"})
        result = types.FunctionResponse(id=call.id, name=call.name, response={"output": "rain"})
        parts, _ = send(chat, types.Part(function_response=result), stream=stream)
    assert text_of(parts) == "[simulated] all done"
    assert {entry["status"] for entry in simulated.log(f"sim-{kind}")} == {200}


@PROVIDERS
def test_a_python_function_is_called_by_the_sdk_itself(google, kind) -> None:
    asked = []

    def weather(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return "rain"

    told = google.models.generate_content(
        model=f"acme/over-{kind}",
        contents=f"{CALL}<<say it rains>>",
        config=types.GenerateContentConfig(tools=[weather]),
    )
    assert (told.text, asked) == ("[simulated] it rains", ["Bath"])


@PROVIDERS
def test_an_image_and_a_document_reach_the_provider(google, simulated, kind) -> None:
    parts = [
        types.Part.from_bytes(data=base64.b64decode(PIXEL), mime_type="image/png"),
        types.Part.from_bytes(data=PDF, mime_type="application/pdf"),
        types.Part.from_text(text="<<say seen>>"),
    ]
    told = google.models.generate_content(model=f"acme/over-{kind}", contents=parts)
    assert told.text == "[simulated] seen"
    (entry,) = simulated.log(f"sim-{kind}")
    sent = entry["text"].replace("-", "+").replace("_", "/")
    assert PIXEL in sent
    assert base64.b64encode(PDF).decode() in sent


class Weather(BaseModel):
    city: str
    degrees: int


@PROVIDERS
def test_a_schema_is_kept_to(google, kind) -> None:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Weather)
    told = google.models.generate_content(model=f"acme/over-{kind}", contents="the weather", config=config)
    assert isinstance(told.parsed, Weather)


@PROVIDERS
def test_tokens_are_counted(google, kind) -> None:
    counted = google.models.count_tokens(model=f"acme/over-{kind}", contents="how long is a piece of string")
    assert 4 <= counted.total_tokens <= 40


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
@PROVIDERS
async def test_the_async_client_gets_the_same(google, kind) -> None:
    asked = {"model": f"acme/over-{kind}", "contents": "<<say the same>>"}
    whole = await google.aio.models.generate_content(**asked)
    stream = await google.aio.models.generate_content_stream(**asked)
    streamed = [chunk.text or "" async for chunk in stream]
    assert whole.text == "".join(streamed) == "[simulated] the same"
    await google.aio.aclose()


def test_models_are_listed_and_found(google) -> None:
    assert "models/acme/everywhere" in {model.name for model in google.models.list()}
    assert google.models.get(model="acme/everywhere").output_token_limit == 32_000


@PROVIDERS
@pytest.mark.parametrize(
    ("status", "kind_of_error", "word"),
    [
        (400, errors.ClientError, "INVALID_ARGUMENT"),
        (429, errors.ClientError, "RESOURCE_EXHAUSTED"),
        (500, errors.ServerError, "UNAVAILABLE"),
    ],
)
def test_each_status_raises_its_class(google, kind, status, kind_of_error, word) -> None:
    chat = google.chats.create(model=f"acme/over-{kind}")
    with pytest.raises(kind_of_error) as raised:
        send(chat, f"<<fail {status} 9 0>> of google {kind} ", stream=status == 500)
    assert raised.value.status == word


@PROVIDERS
def test_an_error_inside_a_stream_is_raised_where_it_comes(google, kind) -> None:
    chunks = google.models.generate_content_stream(
        model=f"acme/over-{kind}", contents="<<tokens 20>><<slow 10>><<errmid 5>>"
    )
    assert next(chunks).text
    with pytest.raises(errors.APIError, match="broke off"):
        list(chunks)
