"""For any canonical request or answer that Chat can carry: what is written is read as the same, and a stream says what the whole answer says."""

import base64
import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocols.openai_chat.chat_golden import CONTEXT, NO_BILL, answer_context, read_stream, target, written
from trunkline.ir.fold import fold, unfold
from trunkline.ir.parts import CacheMark, Logprob, Media, Refusal, Text, Thinking, ToolCall, ToolResult, Turn
from trunkline.ir.request import Format, Reasoning, Request, Tool, ToolChoice, WebSearch
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.codec import CHAT
from trunkline.protocols.openai_chat import codec

_replace = msgspec.structs.replace
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30)
NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9-]{0,10}", fullmatch=True)
BASE64 = st.binary(min_size=1, max_size=30).map(lambda data: base64.b64encode(data))
MARKS = st.none() | st.sampled_from([CacheMark(300), CacheMark(3600)])
FRACTIONS = st.floats(0, 2, allow_nan=False)
ARGUMENTS = st.dictionaries(NAMES, WORDS, max_size=3).map(lambda found: json.dumps(found)) | WORDS

texts = st.builds(Text, WORDS, cache=MARKS)
media = (
    st.builds(Media, kind=st.just("image"), mime=st.just("image/png"), data=BASE64, detail=st.sampled_from(["", "low"]))
    | st.builds(Media, kind=st.just("image"), url=NAMES.map(lambda name: f"https://example.com/{name}"))
    | st.builds(Media, kind=st.just("audio"), mime=st.sampled_from(["audio/wav", "audio/mpeg"]), data=BASE64)
    | st.builds(Media, kind=st.just("file"), mime=st.just("application/pdf"), data=BASE64, name=NAMES)
    | st.builds(Media, kind=st.just("file"), file_id=NAMES)
)
systems = st.builds(Turn, st.sampled_from(["system", "developer"]), st.lists(texts, max_size=3).map(tuple), st.just(""))
users = st.builds(Turn, st.just("user"), st.lists(texts | media, max_size=4).map(tuple), NAMES | st.just(""))


@st.composite
def rounds(draw: Any) -> list[Turn]:
    """An assistant's turn, and a turn for each result of its calls."""
    thinking = draw(st.lists(st.builds(Thinking, WORDS), max_size=1))
    said = draw(st.lists(texts, max_size=2))
    refused = draw(st.lists(st.builds(Refusal, WORDS), max_size=1))
    kinds = st.sampled_from(["function", "custom"])
    calls = [
        ToolCall(f"call-{number}-{draw(st.integers(0, 9**9))}", draw(NAMES), draw(ARGUMENTS), kind=draw(kinds))
        for number in range(draw(st.integers(0, 3)))
    ]
    turns = [Turn("assistant", (*thinking, *said, *refused, *calls), draw(NAMES | st.just("")))]
    for call in calls:
        parts = tuple(draw(st.lists(texts, max_size=2)))
        turns.append(Turn("user", (ToolResult(call.id, call.name, parts, kind=call.kind),)))
    return turns


tools = st.builds(
    Tool, name=NAMES, description=st.just("") | WORDS, strict=st.sampled_from([None, True, False]), cache=MARKS,
    parameters=st.just(msgspec.Raw(b'{"type":"object"}')),
) | st.builds(Tool, name=NAMES, description=st.just("") | WORDS, kind=st.just("custom"))  # fmt: skip
formats = st.builds(Format, kind=st.just("json_object")) | st.builds(
    Format, kind=st.just("json_schema"), name=NAMES, schema=st.just(msgspec.Raw(b'{"a":1}')), strict=st.sampled_from([None, True]),
    description=st.just("") | WORDS,
)  # fmt: skip
thoughts = st.sampled_from([None, Reasoning(effort="high"), Reasoning(effort="minimal"), Reasoning(enabled=False)])
searches = st.builds(
    WebSearch, context_size=st.sampled_from(["", "low"]), location=st.sampled_from([msgspec.Raw(b""), msgspec.Raw(b'{"city":"Rome"}')])
)  # fmt: skip


@st.composite
def requests(draw: Any) -> Request:
    found = draw(st.lists(tools, max_size=3, unique_by=lambda tool: tool.name))
    names = tuple(tool.name for tool in found)
    choices = [None, ToolChoice(), ToolChoice("required"), ToolChoice("none"), ToolChoice("required", names[:1])]
    choices += [ToolChoice("auto", names)] if names else []
    turns = [draw(systems), draw(users), *draw(rounds()), draw(users), *draw(rounds())]
    return Request(
        origin=CHAT,
        model="m",
        turns=tuple(turns),
        tools=tuple(found),
        tool_choice=draw(st.sampled_from(choices)) if names else None,
        parallel_tool_calls=draw(st.sampled_from([None, True, False])) if names else None,
        web_search=draw(st.none() | searches),
        max_output_tokens=draw(st.none() | st.integers(1, 9999)),
        temperature=draw(st.none() | FRACTIONS),
        top_p=draw(st.none() | FRACTIONS),
        top_k=draw(st.none() | st.integers(1, 99)),
        frequency_penalty=draw(st.none() | FRACTIONS),
        presence_penalty=draw(st.none() | FRACTIONS),
        seed=draw(st.none() | st.integers(0, 2**53)),
        candidates=draw(st.none() | st.integers(1, 8)),
        logit_bias=draw(st.none() | st.just({"1": -100.0})),
        logprobs=draw(st.sampled_from([None, True])),
        top_logprobs=draw(st.none() | st.integers(0, 20)),
        stop=tuple(draw(st.lists(WORDS, max_size=4, unique=True))),
        reasoning=draw(thoughts),
        format=draw(st.none() | formats),
        verbosity=draw(st.sampled_from(["", "low"])),
        modalities=draw(st.sampled_from([(), ("text",)])),
        cache=draw(MARKS),
        cache_key=draw(st.just("") | NAMES),
        cache_retention=draw(st.sampled_from(["", "24h"])),
        user=draw(st.just("") | WORDS),
        safety_identifier=draw(st.just("") | NAMES),
        metadata=draw(st.none() | st.just({"a": "b"})),
        service_tier=draw(st.sampled_from(["", "flex"])),
        stream=draw(st.booleans()),
        extras=draw(st.sampled_from([{}, {"min_p": msgspec.Raw(b"0.1")}])),
    )


@settings(max_examples=40, deadline=None)
@given(requests())
def test_a_request_that_was_written_is_read_as_the_same(request: Request) -> None:
    on = target(stream=request.stream)
    written_body = codec.write_request(request, on)
    found = codec.read_request(written_body.body, CONTEXT)
    assert written_body.losses == ()
    assert _replace(found, turns=(), include_usage=False) == _replace(request, turns=())
    assert [plain(turn) for turn in found.turns] == [plain(turn) for turn in request.turns]


def plain(turn: Turn) -> Any:
    """Declared losses: no call is without arguments, and views on bodies are the bytes that they show."""
    return _replace(turn, parts=tuple(_plain(part) for part in turn.parts))


def _plain(part: Any) -> Any:
    return _replace(part, data=bytes(part.data)) if isinstance(part, Media) and part.data is not None else part


logprobs = st.builds(Logprob, WORDS, st.floats(-99, 0), st.none() | st.just((1, 2)), st.just((Logprob("x", -1.0),)))
sounds = st.builds(Media, kind=st.just("image"), mime=st.just("image/png"), data=BASE64)


@st.composite
def candidates(draw: Any) -> Candidate:
    thinking = draw(st.lists(st.builds(Thinking, WORDS), max_size=1))
    said = draw(st.lists(st.builds(Text, WORDS, logprobs=st.lists(logprobs, max_size=1).map(tuple)), max_size=1))
    calls = [
        ToolCall(f"call_{number}", draw(NAMES), draw(ARGUMENTS), kind=draw(st.sampled_from(["function", "custom"])))
        for number in range(draw(st.integers(0, 3)))
    ]
    reasons = [FinishReason.LENGTH, FinishReason.CONTENT_FILTER, FinishReason.TOOL_CALLS if calls else FinishReason.END]
    return Candidate((*thinking, *said, *calls), draw(st.sampled_from(reasons)))


counts = st.integers(0, 10**6)
usages = st.builds(
    Usage, counts, counts, counts, counts, counts, counts, counts, counts, counts, counts, counts, counts, st.booleans()
)
responses = st.builds(
    Response, id=st.just("chatcmpl-1"), model=st.just("m"), created_s=st.just(1_700_000_000),
    candidates=st.lists(candidates(), min_size=1, max_size=3).map(tuple), usage=st.none() | usages,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(responses)
def test_an_answer_that_was_written_is_read_as_the_same(response: Response) -> None:
    body = codec.write_response(response, answer_context(), NO_BILL)
    assert same(codec.read_response(body, target())) == same(response)


@settings(max_examples=40, deadline=None)
@given(responses, st.integers(1, 60))
def test_a_stream_that_was_written_is_read_as_the_same(response: Response, size: int) -> None:
    stream = written(list(unfold(response)))
    found = read_stream([stream[at : at + size] for at in range(0, len(stream), size)])
    assert same(fold(found)) == same(response)


@given(usages)
def test_usage_that_was_written_is_read_as_the_same(usage: Usage) -> None:
    assert codec.read_usage(codec.write_usage(usage)) == usage


def same(response: Response) -> Any:
    """Without the words of the wire itself."""
    found = [_replace(candidate, native_finish="") for candidate in response.candidates]
    return _replace(response, candidates=tuple(found), raw_usage=msgspec.Raw(b"null"), carry=None)
