"""What is written reads as what it was, for any request and answer that this protocol has words for; and nothing makes a reader fall over."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import InvalidParams
from trunkline.ir.events import Event, Failed
from trunkline.ir.fold import fold, unfold
from trunkline.ir.parts import Carry, Citation, Logprob, Media, Opaque, Text, Thinking, ToolCall, ToolResult, Turn
from trunkline.ir.request import Format, Reasoning, Request, Tool, ToolChoice, WebSearch
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.codec import GEMINI, QUIRKS, AnswerContext, Bill, RequestContext, Target
from trunkline.protocols.facts import facts_of
from trunkline.protocols.gemini import codec
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.protocols.sse import events

SECRET = b"s"
WORDS = frozenset({"tools", "temperature", "stop", "seed", "reasoning_effort"})
ASKED = RequestContext(request_id="req_1", secret=SECRET, path_model="m")
BUDGET = Target(
    protocol=GEMINI,
    upstream_model="m",
    quirks=msgspec.structs.replace(QUIRKS[GEMINI], reasoning="budget", min_budget_tokens=0, can_disable_reasoning=True),
)
LEVEL = Target(protocol=GEMINI, upstream_model="m", quirks=QUIRKS[GEMINI])
ANSWERING = AnswerContext(
    request=Request(origin=GEMINI, model="m", turns=(), reasoning=Reasoning(shown=True)),
    request_id="req_1",
    model="m",
    created_s=0,
    secret=SECRET,
    keep=lambda key, data: None,
)

words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
names = st.text("abcxyz_", min_size=1, max_size=8)
ids = st.text("abcdef", min_size=3, max_size=8)
objects = st.dictionaries(
    words, st.one_of(words, st.integers(-5, 5), st.none(), st.lists(words, max_size=2)), max_size=3
)
arguments = objects.map(lambda value: msgspec.json.encode(value).decode())
signature = st.sampled_from(["QUJD", "c2ln", "RA=="])
carries = st.none() | signature.map(
    lambda text: Carry(GEMINI, msgspec.Raw(b'{"thoughtSignature":"%b"}' % text.encode()))
)
texts = st.builds(Text, words, carry=carries)
thoughts = st.builds(Thinking, words, carry=carries.filter(bool))
media = st.one_of(
    st.builds(
        lambda data, detail: Media(kind="image", mime="image/png", data=data, detail=detail),
        st.sampled_from([b"iVBORw0K", b"AAAA"]),
        st.sampled_from(["", "low", "high"]),
    ),
    st.builds(
        lambda name: Media(kind="file", mime="application/pdf", url=f"https://acme.example/{name}", name=name), names
    ),
    st.builds(lambda name: Media(kind="video", mime="video/mp4", file_id=f"gs://acme/{name}"), names),
)
calls = st.builds(ToolCall, ids, names, arguments, carry=carries)
opaques = st.just(Opaque("executableCode", Carry(GEMINI, msgspec.Raw(b'{"executableCode":{"code":"1"}}'))))
results = st.builds(
    lambda call_id, name, text, pictures, is_error: ToolResult(call_id, name, (*text, *pictures), is_error),
    ids,
    names,
    st.lists(st.builds(Text, words), max_size=1),
    st.lists(media, max_size=1),
    st.booleans(),
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    system = draw(st.lists(st.builds(Text, words), max_size=2))
    turns = [Turn("system", tuple(system))] if system else []
    for _ in range(draw(st.integers(1, 3))):
        turns.append(Turn("user", tuple(draw(st.lists(st.one_of(texts, media, results), min_size=1, max_size=3)))))
        turns.append(
            Turn("assistant", tuple(draw(st.lists(st.one_of(texts, thoughts, calls, opaques), min_size=1, max_size=3))))
        )
    return tuple(turns)


floats = st.none() | st.floats(0, 2, allow_nan=False)
whole = st.none() | st.integers(1, 10_000)
schemas = st.just(msgspec.Raw(b'{"type":"object","properties":{"a":{"type":"string"}}}'))
tools = st.builds(
    lambda name, text, schema: Tool(name=name, description=text, parameters=schema), names, st.just("") | words, schemas
)
formats = (
    st.none()
    | st.just(Format(kind="json_object"))
    | st.builds(lambda schema: Format(kind="json_schema", schema=schema), schemas)
)
shown = st.none() | st.booleans()
budgets = st.one_of(
    st.none(),
    st.builds(
        lambda budget, shown: Reasoning(enabled=True, budget_tokens=budget, shown=shown), st.integers(1, 1000), shown
    ),
    st.builds(lambda shown: Reasoning(enabled=False, shown=shown), shown),
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    known = draw(st.lists(tools, max_size=3))
    choice = draw(st.none() | st.builds(ToolChoice, st.sampled_from(["auto", "required", "none"])))
    return Request(
        origin=GEMINI,
        model="m",
        turns=draw(conversations()),
        tools=tuple(known),
        tool_choice=choice if known else None,
        web_search=draw(
            st.none() | st.builds(lambda d: WebSearch(blocked_domains=tuple(d)), st.lists(names, max_size=2))
        ),
        temperature=draw(floats),
        top_p=draw(floats),
        top_k=draw(whole),
        seed=draw(whole),
        frequency_penalty=draw(floats),
        presence_penalty=draw(floats),
        logprobs=draw(st.none() | st.booleans()),
        top_logprobs=draw(whole),
        stop=tuple(draw(st.lists(words, max_size=3))),
        reasoning=draw(budgets),
        format=draw(formats),
        modalities=tuple(draw(st.lists(st.sampled_from(["text", "image"]), max_size=2, unique=True))),
        service_tier=draw(st.sampled_from(["", "flex", "priority", "default"])),
        extras=draw(
            st.dictionaries(
                st.sampled_from(["safetySettings", "generationConfig.speechConfig"]), st.just(msgspec.Raw(b'{"a":1}'))
            )
        ),
    )


def read_budget(reasoning: Reasoning | None) -> Reasoning | None:
    """A budget says by itself that there is reasoning."""
    on = reasoning is not None and reasoning.budget_tokens
    return msgspec.structs.replace(reasoning, enabled=None) if reasoning is not None and on else reasoning


@settings(deadline=None, max_examples=60)
@given(requests())
def test_a_request_reads_as_it_was_written(made: Request) -> None:
    written = codec.write_request(made, BUDGET)
    again = codec.read_request(written.body, ASKED)
    assert codec.peek(written.body, ASKED, WORDS).facts == facts_of(again, WORDS)
    assert again == msgspec.structs.replace(made, reasoning=read_budget(made.reasoning))


@settings(deadline=None, max_examples=30)
@given(conversations(), st.sampled_from(["minimal", "low", "medium", "high"]))
def test_where_signatures_are_wanted_the_first_call_of_each_turn_has_one(turns: tuple[Turn, ...], effort: str) -> None:
    made = Request(origin=GEMINI, model="m", turns=turns, reasoning=Reasoning(effort=effort))
    body = json.loads(codec.write_request(made, LEVEL).body)
    assert body["generationConfig"]["thinkingConfig"] == {"thinkingLevel": effort.upper()}
    for content in body["contents"]:
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        assert first is None or first["thoughtSignature"]


@st.composite
def cited(draw: st.DrawFn) -> Text:
    text = draw(words)
    cuts = (
        draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=4, unique=True).filter(lambda c: len(c) > 1))
        if len(text) > 1
        else []
    )
    pairs = list(zip(sorted(cuts), sorted(cuts)[1:], strict=False))
    citations = [
        Citation(url=f"https://acme.example/{at}", title="T", quote=text[start:end], start=start, end=end)
        for at, (start, end) in enumerate(pairs)
    ]
    tokens = draw(st.just(()) | st.just((Logprob("a", -0.5, top=(Logprob("b", -1.5),)),)))
    return Text(text, tuple(citations), tokens, draw(carries))


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    others = st.one_of(st.builds(Thinking, words, carry=carries), calls, opaques)
    before, text, after = (
        draw(st.lists(others, max_size=2)),
        draw(st.lists(cited(), max_size=1)),
        draw(st.lists(others, max_size=2)),
    )
    parts = (*before, *text, *after)
    word, reason = draw(
        st.sampled_from(
            [("STOP", FinishReason.END), ("MAX_TOKENS", FinishReason.LENGTH), ("SPII", FinishReason.CONTENT_FILTER)]
        )
    )
    called = any(isinstance(part, ToolCall) for part in parts)
    return Candidate(parts, FinishReason.TOOL_CALLS if called and word == "STOP" else reason, word)


counts = st.integers(0, 1000)
answers = st.builds(
    lambda found, usage: Response(id="1", model="m", candidates=tuple(found), usage=usage),
    st.lists(candidates(), min_size=1, max_size=2),
    st.none()
    | st.builds(Usage, input_tokens=counts, cache_read_tokens=counts, output_tokens=counts, reasoning_tokens=counts),
)


def bare(answer: Response) -> Response:
    return msgspec.structs.replace(answer, raw_usage=msgspec.Raw(b"null"), carry=None)


@settings(deadline=None, max_examples=60)
@given(answers)
def test_an_answer_reads_as_it_was_written(made: Response) -> None:
    assert bare(codec.read_response(codec.write_response(made, ANSWERING, Bill()), LEVEL)) == made


def flat(answer: Response) -> Any:
    """What a stream has no borders for: signatures at their own texts, and one text in one piece. Its order, words and signatures stay."""
    found: list[Any] = []
    for candidate in answer.candidates:
        pieces: list[tuple[str, Any]] = []
        for part in candidate.parts:
            kind = type(part).__name__
            content = part.text if isinstance(part, Text | Thinking) else part
            if pieces and kind in ("Text", "Thinking") and pieces[-1][0] == kind:
                content = pieces.pop()[1] + content
            pieces.append((kind, content))
        signed = [part.carry for part in candidate.parts if part.carry is not None]
        found.append((pieces, signed, candidate.finish, candidate.native_finish))
    return found, answer.usage


@settings(deadline=None, max_examples=60)
@given(answers)
def test_a_stream_amounts_to_what_was_written(made: Response) -> None:
    writer, reader = codec.stream_writer(ANSWERING), codec.stream_reader(LEVEL)
    body = b"".join(writer.feed(event) for event in unfold(made)) + writer.end(Bill())
    found = [event for one in events(body) for event in reader.feed(one)] + reader.end()
    assert flat(fold(found)) == flat(made)


JUNK: tuple[Any, ...] = (None, -1, "x", [5], {"text": 5})


def spoiled(value: Any) -> Iterator[Any]:
    """The value with each of its values, in turn, replaced by what does not belong there."""
    yield from JUNK
    if isinstance(value, dict):
        for key, inner in value.items():
            for other in spoiled(inner):
                yield {**value, key: other}
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            for other in spoiled(inner):
                yield [*value[:at], other, *value[at + 1 :]]


def test_no_spoiled_request_makes_the_reader_fall_over(request_file: Path) -> None:
    for value in spoiled(json.loads(request_file.read_text())):
        with suppress(InvalidParams):
            codec.write_request(codec.read_request(json.dumps(value).encode(), ASKED), LEVEL)


def test_no_spoiled_answer_makes_the_readers_fall_over(answer_file: Path) -> None:
    for value in spoiled(json.loads(answer_file.read_text())):
        body = json.dumps(value).encode()
        with suppress(*UNREADABLE):
            codec.write_response(codec.read_response(body, LEVEL), ANSWERING, Bill())
        reader, writer = codec.stream_reader(LEVEL), codec.stream_writer(ANSWERING)
        found: list[Event] = []
        with suppress(*UNREADABLE):
            found += reader.feed(b"data: " + body + b"\n\n")
            found += reader.end()
        for event in found:
            if not isinstance(event, Failed):
                writer.feed(event)
        writer.end(Bill())
        codec.read_fault(body)
