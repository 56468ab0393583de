"""What is written reads as what it was, for any request and any answer, beside the declared losses.

Declared: blocks of the first system prompt become one; an assistant's turns that follow each other become one, as do texts that do; results of a turn,
and what stands beside them, become turns of their own; the detail of an image and a file's name are never unsaid; citations say their range;
of reasoning only what the vendor encrypted comes back; `strict` of a format or tool is said where others leave it unsaid.
"""

import json
from itertools import groupby
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.ir.fold import fold, unfold
from trunkline.ir.parts import (
    Carry,
    Citation,
    Logprob,
    Media,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from trunkline.ir.request import Format, Reasoning, Request, Tool, ToolChoice, WebSearch
from trunkline.ir.response import Candidate, FinishReason, Response
from trunkline.ir.usage import Usage
from trunkline.protocols.codec import RESPONSES, Bill
from trunkline.protocols.openai_responses import codec

words = st.text(min_size=1, max_size=12)
ids = st.from_regex(r"[a-zA-Z0-9_]{1,10}", fullmatch=True)
counts = st.integers(0, 10_000)
encrypted = words.map(
    lambda text: Carry(RESPONSES, msgspec.Raw(msgspec.json.encode({"id": "rs_0", "encrypted_content": text})))
)
texts = st.builds(Text, words)
images = st.one_of(
    st.builds(
        lambda mime: Media(kind="image", mime=mime, data=b"AAAA", detail="low"),
        st.sampled_from(["image/png", "image/webp"]),
    ),
    st.builds(lambda name: Media(kind="image", url=f"https://acme.example/{name}", detail="auto"), ids),
)
files = st.builds(lambda name: Media(kind="file", mime="application/pdf", data=b"JVBE", name=name), ids)
thoughts = st.builds(lambda text, carry: Thinking(text, carry=carry), words, encrypted)
calls = st.builds(ToolCall, ids, ids, words, st.sampled_from(["function", "custom"]))
citations = st.builds(lambda url: Citation(url=url, title="t", start=0, end=1), ids)
logprobs = st.builds(
    lambda token: Logprob(token, -0.5, tuple(token.encode()), (Logprob(token, -0.5, tuple(token.encode())),)), words
)
spoken = st.one_of(
    st.builds(lambda text, cited: Text(text, tuple(cited)), words, st.lists(citations, max_size=2)),
    st.builds(Refusal, words),
)
users = st.lists(st.one_of(texts, images, files), min_size=1, max_size=3).map(lambda parts: Turn("user", tuple(parts)))
assistants = st.lists(st.one_of(spoken, thoughts, calls), min_size=1, max_size=4).map(
    lambda parts: Turn("assistant", tuple(parts))
)
results = st.builds(
    lambda call_id, parts: Turn("user", (ToolResult(call_id, parts=tuple(parts)),)),
    ids,
    st.lists(st.one_of(texts, images), max_size=2),
)
developers = st.builds(lambda text: Turn("developer", (text,)), texts)
unsaid = st.none()
tools = st.builds(lambda name, said: Tool(name=name, description=said, strict=True), ids, words)
requests = st.builds(
    Request,
    origin=st.just(RESPONSES),
    model=st.just("up"),
    turns=st.tuples(users, st.lists(st.one_of(users, assistants, results, developers), max_size=5)).map(lambda pair: (pair[0], *pair[1])),
    tools=st.lists(tools, min_size=1, max_size=2, unique_by=lambda tool: tool.name).map(tuple),
    tool_choice=st.one_of(unsaid, st.builds(ToolChoice, st.sampled_from(["auto", "required", "none"]))),
    parallel_tool_calls=st.one_of(unsaid, st.booleans()),
    web_search=st.one_of(unsaid, st.just(WebSearch(context_size="low", allowed_domains=("acme.example",)))),
    max_output_tokens=st.one_of(unsaid, st.integers(16, 99)),
    temperature=st.one_of(unsaid, st.floats(0, 2)),
    top_p=st.one_of(unsaid, st.floats(0, 1)),
    logprobs=st.one_of(unsaid, st.just(True)),
    top_logprobs=st.one_of(unsaid, st.integers(0, 20)),
    reasoning=st.one_of(unsaid, st.builds(Reasoning, effort=st.sampled_from(["low", "high"]), encrypted=st.just(True))),
    format=st.one_of(unsaid, st.just(Format(kind="json_object")), st.builds(Format, kind=st.just("json_schema"), name=ids, strict=st.booleans())),
    verbosity=st.sampled_from(["", "low"]),
    cache_key=st.sampled_from(["", "k"]),
    user=st.sampled_from(["", "u"]),
    safety_identifier=st.sampled_from(["", "s"]),
    metadata=st.one_of(unsaid, st.dictionaries(ids, words, min_size=1, max_size=2)),
    service_tier=st.sampled_from(["", "flex"]),
)  # fmt: skip


def joined(turns: tuple[Turn, ...]) -> list[tuple[str, list[Part]]]:
    """Roles and parts, an assistant's turns and texts that follow each other made one."""
    found: list[tuple[str, list[Part]]] = []
    for role, group in groupby(
        turns, key=lambda turn: (turn.role, None) if turn.role == "assistant" else (turn.role, id(turn))
    ):
        parts = [part for turn in group for part in turn.parts]
        found.append((role[0], [named(part) for part in parts]))
    return found


def named(part: Part) -> Part:
    """Names of tools in results are looked up: here they may be of any call."""
    return msgspec.structs.replace(part, name="", kind="function") if isinstance(part, ToolResult) else part


@settings(max_examples=120, deadline=None)
@given(asked=requests)
def test_any_request_is_read_as_it_was_written(asked: Request, wire: Any) -> None:
    sent = codec.write_request(asked, wire.target)
    again = wire.request(sent.body)
    assert sent.losses == ()
    assert joined(again.turns) == joined(asked.turns)
    told = {"turns": (), "web_search": None}
    assert msgspec.structs.replace(again, **told) == msgspec.structs.replace(asked, **told)
    assert (again.web_search is None) == (asked.web_search is None)


said = st.one_of(
    spoken,
    thoughts,
    calls,
    st.builds(lambda text, told: Text(text, logprobs=tuple(told)), words, st.lists(logprobs, max_size=2)),
)
answers = st.builds(
    lambda parts, counted, finish: Response(
        candidates=(Candidate(tuple(parts), *ended(parts, finish)),), usage=Usage(*counted) if counted else None, service_tier="default"
    ),
    st.lists(said, max_size=5),
    st.one_of(st.none(), st.tuples(counts, counts, counts)),
    st.sampled_from([FinishReason.END, FinishReason.LENGTH, FinishReason.CONTENT_FILTER]),
)  # fmt: skip


def ended(parts: list[Part], finish: FinishReason) -> tuple[FinishReason, str]:
    """How this protocol tells an end."""
    if finish == FinishReason.LENGTH:
        return finish, "max_output_tokens"
    if finish == FinishReason.CONTENT_FILTER:
        return finish, "content_filter"
    if any(isinstance(part, ToolCall) for part in parts):
        return FinishReason.TOOL_CALLS, "completed"
    return (FinishReason.REFUSAL if any(isinstance(part, Refusal) for part in parts) else finish), "completed"


def bare(response: Response) -> Response:
    """Without what the gateway says itself: ids, the raw usage, ids within carries."""
    said = msgspec.structs.replace(response, id="", model="", created_s=0, raw_usage=msgspec.Raw(b""))
    candidate = said.candidates[0]
    parts = tuple(msgspec.structs.replace(part, carry=without_id(part.carry)) for part in candidate.parts)
    tier = said.service_tier if said.usage else ""
    return msgspec.structs.replace(
        said, candidates=(msgspec.structs.replace(candidate, parts=parts),), service_tier=tier
    )


def without_id(carry: Carry | None) -> Carry | None:
    if carry is None:
        return None
    fields = json.loads(bytes(carry.data))
    fields.pop("id", None)
    return Carry(carry.origin, msgspec.Raw(msgspec.json.encode(fields)))


@settings(max_examples=120, deadline=None)
@given(response=answers)
def test_any_answer_is_read_as_it_was_written(response: Response, wire: Any) -> None:
    body = codec.write_response(response, wire.answering(), Bill())
    assert bare(codec.read_response(body, wire.target)) == bare(response)


@settings(max_examples=120, deadline=None)
@given(response=answers)
def test_any_stream_is_read_as_it_was_written(response: Response, wire: Any) -> None:
    writer = codec.stream_writer(wire.answering())
    stream = b"".join([*map(writer.feed, unfold(response)), writer.end(Bill())])
    folded = fold(wire.events(stream))
    assert bare(folded) == bare(response)
    assert bare(folded) == bare(codec.read_response(writer.body, wire.target))


@given(st.builds(Usage, counts, counts, counts, st.just(0), st.just(0), counts, counts, counts, counts, counts, counts))
def test_any_usage_is_read_as_it_was_written(usage: Usage) -> None:
    assert codec.read_usage(codec.write_usage(usage)) == usage


@given(st.integers(0, 1_000), st.integers(0, 1_000))
def test_times_to_live_of_a_cache_become_one_count(five: int, hour: int) -> None:
    usage = Usage(cache_write_5m_tokens=five, cache_write_1h_tokens=hour)
    assert codec.read_usage(codec.write_usage(usage)) == Usage(cache_write_tokens=five + hour)
