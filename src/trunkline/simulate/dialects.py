"""The protocols as data: for each vendor its errors, headers and keys, for each operation its reader and writer.

In: nothing. Out: `DIALECTS`, `OPERATIONS`. Azure speaks OpenAI's protocols with headers and errors of its own.
"""

from collections.abc import Callable
from functools import partial
from time import gmtime, strftime
from typing import Protocol

import msgspec

import trunkline.simulate.converse.asked as converse_asked
import trunkline.simulate.converse.errors as converse_errors
import trunkline.simulate.converse.wire as converse_wire
import trunkline.simulate.gemini.asked as gemini_asked
import trunkline.simulate.gemini.errors as gemini_errors
import trunkline.simulate.gemini.wire as gemini_wire
import trunkline.simulate.messages.asked as messages_asked
import trunkline.simulate.messages.errors as messages_errors
import trunkline.simulate.messages.wire as messages_wire
import trunkline.simulate.responses.asked as responses_asked
import trunkline.simulate.responses.wire as responses_wire
from trunkline.simulate import vendor_errors, wire
from trunkline.simulate.answer import Answer
from trunkline.simulate.arrival import Arrival, bearer
from trunkline.simulate.asked import Asked
from trunkline.simulate.asked import read_request as read_chat
from trunkline.simulate.vendor_errors import ErrorAnswer, RefusedError
from trunkline.simulate.wire import Events, Head

Headers = list[tuple[bytes, bytes]]
SIMULATED = (b"x-simulated", b"true")


class EventsOf(Protocol):
    def __call__(self, answer: Answer, asked: Asked, head: Head, /, *, with_usage: bool) -> Events: ...


class BodyOf(Protocol):
    def __call__(self, answer: Answer, asked: Asked, head: Head, /, *, with_usage: bool) -> bytes: ...


class Dialect(msgspec.Struct, frozen=True):
    """How a vendor refuses, and what goes around its answers."""

    failed: Callable[[int, float | None], ErrorAnswer]
    """A failure of its own: status, seconds to wait."""
    wrong_key: Callable[[bool], RefusedError]
    """Whether one was given at all."""
    unknown_model: Callable[[str], RefusedError]
    unknown_path: Callable[[str, str], RefusedError]
    wrong_method: Callable[[str, str], RefusedError]
    bad_directive: Callable[[str], RefusedError]
    headers: Callable[[bytes, bytes], Headers]
    """Of an answer with this request id, after so many milliseconds."""
    keys: Callable[[Arrival], list[str]]
    """Where it looks for a key."""
    names: tuple[str, ...]
    """Models in its list, where none are configured."""
    models: Callable[[tuple[str, ...], int], bytes]
    model: Callable[[str, int], bytes]
    dressed: Callable[[bytes, str, Arrival], bytes] = lambda body, _request_id, _arrival: body
    """The body of an error as it is sent: with the request's id, or in an array."""
    binds_provider: bool = True
    """Whether sealed reasoning is only good at the provider that gave it."""


class Operation(msgspec.Struct, frozen=True):
    """What can be asked of a model."""

    read: Callable[[bytes, Arrival], Asked]
    events: EventsOf
    body: BodyOf
    id_prefix: str = ""
    keeps_prompts: bool = False
    """Whether parts of the prompt are kept when the request says so."""


# OpenAI and Azure


def openai_headers(request_id: bytes, spent_ms: bytes) -> Headers:
    """As the vendor sends them, cookie and account limits included, since a gateway must not pass those on
    (https://platform.openai.com/docs/api-reference/debugging-requests)."""
    return [
        (b"x-request-id", request_id),
        (b"openai-organization", b"simulated"),
        (b"openai-processing-ms", spent_ms),
        (b"openai-version", b"2020-10-01"),
        (b"x-ratelimit-limit-requests", b"1000"),
        (b"x-ratelimit-remaining-requests", b"999"),
        (b"set-cookie", b"__cf_bm=simulated; path=/; HttpOnly; Secure"),
        SIMULATED,
    ]


def azure_headers(request_id: bytes, _spent_ms: bytes) -> Headers:
    return [
        (b"apim-request-id", request_id),
        (b"x-request-id", request_id),
        (b"x-ms-region", b"Simulated"),
        (b"x-ms-rai-invoked", b"true"),
        (b"x-ratelimit-remaining-requests", b"999"),
        (b"x-ratelimit-remaining-tokens", b"999999"),
        SIMULATED,
    ]


def openai_keys(arrival: Arrival) -> list[str]:
    return [bearer(arrival.headers)]


def azure_keys(arrival: Arrival) -> list[str]:
    """A bearer key, or an `api-key` header."""
    return [bearer(arrival.headers), arrival.headers.get(b"api-key", b"").decode("latin-1")]


def openai_directive(message: str) -> RefusedError:
    return vendor_errors.refuse(f"[simulated] {message}", param="messages", code="bad_directive")


def openai_dialect(name: str) -> Dialect:
    azure = name == "azure"
    return Dialect(
        failed=partial(vendor_errors.failed, name),
        wrong_key=lambda _given: vendor_errors.wrong_key(name),
        unknown_model=partial(vendor_errors.unknown_model, name),
        unknown_path=partial(vendor_errors.unknown_path, name),
        wrong_method=vendor_errors.wrong_method,
        bad_directive=openai_directive,
        headers=azure_headers if azure else openai_headers,
        keys=azure_keys if azure else openai_keys,
        names=("o4-mini", "gpt-4.1"),
        models=wire.models,
        model=lambda model, created: wire.encode(wire.model(model, created)),
    )


def chat_events(answer: Answer, asked: Asked, head: Head, *, with_usage: bool) -> Events:
    return wire.events(answer, head, with_usage=with_usage and asked.include_usage)


def chat_body(answer: Answer, _asked: Asked, head: Head, *, with_usage: bool) -> bytes:
    return wire.body(answer, head, with_usage=with_usage)


# Anthropic


def anthropic_headers(request_id: bytes, _spent_ms: bytes) -> Headers:
    """https://platform.claude.com/docs/en/api/rate-limits, "Response headers"; limits as a gateway must not pass on."""
    return [
        (b"request-id", request_id),
        (b"anthropic-organization-id", b"simulated"),
        (b"anthropic-ratelimit-requests-limit", b"1000"),
        (b"anthropic-ratelimit-requests-remaining", b"999"),
        (b"set-cookie", b"_cfuvid=simulated; path=/; HttpOnly; Secure"),
        SIMULATED,
    ]


def anthropic_keys(arrival: Arrival) -> list[str]:
    return [arrival.headers.get(b"x-api-key", b"").decode("latin-1"), bearer(arrival.headers)]


def day(created: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(created))


ANTHROPIC = Dialect(
    failed=messages_errors.failed,
    wrong_key=lambda given: messages_errors.wrong_key(given=given),
    unknown_model=messages_errors.unknown_model,
    unknown_path=messages_errors.unknown_path,
    wrong_method=messages_errors.wrong_method,
    bad_directive=messages_errors.bad_directive,
    headers=anthropic_headers,
    keys=anthropic_keys,
    names=("claude-sonnet-4-5", "claude-opus-4-8"),
    models=lambda names, created: messages_wire.models(names, day(created)),
    model=lambda name, created: wire.encode(messages_wire.model(name, day(created))),
    dressed=lambda body, request_id, _arrival: messages_errors.with_request_id(body, request_id),
    binds_provider=False,  # "compatible across platforms" (extended thinking, "Thinking encryption").
)


# Gemini


def gemini_headers(_request_id: bytes, spent_ms: bytes) -> Headers:
    return [(b"server-timing", b"gfet4t7; dur=" + spent_ms), (b"x-frame-options", b"SAMEORIGIN"), SIMULATED]


def gemini_keys(arrival: Arrival) -> list[str]:
    """https://ai.google.dev/api, "Authentication": the header, or `?key=`; Vertex AI takes a bearer token."""
    header = arrival.headers.get(b"x-goog-api-key", b"").decode("latin-1")
    return [header, arrival.query.get("key", ""), bearer(arrival.headers)]


def gemini_dressed(body: bytes, _request_id: str, arrival: Arrival) -> bytes:
    array = arrival.operation == "streamGenerateContent" and arrival.query.get("alt") != "sse"
    return gemini_errors.in_array(body) if array else body


GEMINI = Dialect(
    failed=gemini_errors.failed,
    wrong_key=lambda given: gemini_errors.wrong_key(given=given),
    unknown_model=gemini_errors.unknown_model,
    unknown_path=gemini_errors.unknown_path,
    wrong_method=gemini_errors.wrong_method,
    bad_directive=gemini_errors.bad_directive,
    headers=gemini_headers,
    keys=gemini_keys,
    names=("gemini-2.5-flash", "gemini-3-pro-preview"),
    models=lambda names, _created: gemini_wire.models(names),
    model=lambda name, _created: wire.encode(gemini_wire.model(name)),
    dressed=gemini_dressed,
)

# Bedrock


def bedrock_headers(request_id: bytes, _spent_ms: bytes) -> Headers:
    return [(b"x-amzn-requestid", request_id), SIMULATED]


def bedrock_keys(arrival: Arrival) -> list[str]:
    """A bearer key. Signed requests have none, so where keys are configured they are refused."""
    return [bearer(arrival.headers)]


BEDROCK = Dialect(
    failed=converse_errors.failed,
    wrong_key=lambda given: converse_errors.wrong_key(given=given),
    unknown_model=converse_errors.unknown_model,
    unknown_path=converse_errors.unknown_path,
    wrong_method=converse_errors.wrong_method,
    bad_directive=converse_errors.bad_directive,
    headers=bedrock_headers,
    keys=bedrock_keys,
    names=("amazon.nova-2-lite-v1:0",),
    models=lambda names, _created: wire.encode({"modelSummaries": [{"modelId": name} for name in names]}),
    model=lambda name, _created: wire.encode({"modelDetails": {"modelId": name}}),
)

DIALECTS = {
    "openai": openai_dialect("openai"),
    "azure": openai_dialect("azure"),
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
    "bedrock": BEDROCK,
}
CHAT = Operation(read_chat, chat_events, chat_body, "chatcmpl-sim")
RESPONSES = Operation(responses_asked.read_request, responses_wire.events, responses_wire.body, "resp_sim")
MESSAGES = Operation(messages_asked.read_request, messages_wire.events, messages_wire.body, "msg_sim", True)
GENERATE = Operation(gemini_asked.read_request, gemini_wire.events, gemini_wire.body)
CONVERSE = Operation(converse_asked.read_request, converse_wire.events, converse_wire.body)
# By dialect and what is left of the path.
OPERATIONS = {
    ("openai", "/chat/completions"): CHAT,
    ("azure", "/chat/completions"): CHAT,
    ("openai", "/responses"): RESPONSES,
    ("azure", "/responses"): RESPONSES,
    ("anthropic", "/messages"): MESSAGES,
    ("anthropic", "/messages/count_tokens"): Operation(
        messages_asked.read_count, messages_wire.events, messages_wire.count
    ),
    ("gemini", "generateContent"): GENERATE,
    ("gemini", "streamGenerateContent"): GENERATE,
    ("bedrock", "converse"): CONVERSE,
    ("bedrock", "converse-stream"): CONVERSE,
    ("gemini", "countTokens"): Operation(gemini_asked.read_count, gemini_wire.events, gemini_wire.count),
}
