"""Canonical requests and answers that Messages can carry, for property tests."""

import base64
import json
from typing import Any

import msgspec
from hypothesis import strategies as st

from trunkline.ir.parts import (
    CacheMark,
    Carry,
    Citation,
    Media,
    Opaque,
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
from trunkline.protocols.anthropic_messages import NAME


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


words = st.text(min_size=1, max_size=12)
names = st.from_regex(r"[a-z_]{1,10}", fullmatch=True)
marks = st.sampled_from([None, None, CacheMark(300), CacheMark(3600)])
objects = st.dictionaries(words, st.one_of(st.integers(-9, 9), words, st.none(), st.booleans()), max_size=3)
signatures = st.builds(lambda word: Carry(NAME, raw({"signature": word})), words)
foreign = st.builds(
    lambda origin, word: Carry(origin, raw({"thoughtSignature": word})),
    st.sampled_from(["gemini", "openai.responses", "openai.chat/deepseek", f"{NAME}/minimax"]),
    words,
)
texts = st.builds(lambda text, cache: Text(text, cache=cache), words, marks)
images = st.one_of(
    st.builds(
        lambda data, cache: Media(kind="image", mime="image/png", data=data, cache=cache),
        st.binary(min_size=3, max_size=9).map(lambda data: base64.b64encode(data)),
        marks,
    ),
    st.builds(lambda name: Media(kind="image", url=f"https://example.com/{name}.png"), names),
    st.builds(lambda name: Media(kind="image", file_id=f"file_{name}"), names),
)
documents = st.one_of(
    st.builds(
        lambda text, name, cited: Media(kind="file", mime="text/plain", text=text, name=name, citations=cited),
        words,
        words,
        st.booleans(),
    ),
    st.builds(lambda name: Media(kind="file", mime="application/pdf", data=b"JVBERi0xLjQK", name=name), words),
)
opaque = st.builds(
    lambda word: Opaque("container_upload", Carry(NAME, raw({"type": "container_upload", "file_id": word}))), words
)
thinking = st.one_of(
    st.builds(lambda text, carry: Thinking(text, False, carry), words, signatures),
    st.builds(lambda word: Thinking("", True, Carry(NAME, raw({"data": word}))), words),
)


@st.composite
def tool_rounds(draw: st.DrawFn, at: int) -> tuple[Turn, Turn]:
    """An assistant turn with calls, and the user turn with their results."""
    calls = [
        ToolCall(f"toolu_{at}_{n}", draw(names), json.dumps(draw(objects)), cache=draw(marks))
        for n in range(draw(st.integers(1, 3)))
    ]
    before = draw(st.lists(st.one_of(thinking, texts), max_size=2))
    results = [
        ToolResult(
            call.id,
            call.name,
            tuple(draw(st.lists(st.one_of(texts, images, documents), max_size=2))),
            draw(st.booleans()),
            cache=draw(marks),
        )
        for call in calls
    ]
    return Turn("assistant", (*before, *calls)), Turn("user", (*results, *draw(st.lists(texts, max_size=1))))


@st.composite
def turns(draw: st.DrawFn) -> tuple[Turn, ...]:
    found: list[Turn] = []
    system = draw(st.lists(texts, max_size=2))
    if system:
        found.append(Turn("system", tuple(system)))
    for at in range(draw(st.integers(1, 3))):
        found.append(
            Turn("user", tuple(draw(st.lists(st.one_of(texts, images, documents, opaque), min_size=1, max_size=3))))
        )
        found += draw(tool_rounds(at))
    return tuple(found)


tools = st.builds(
    lambda name, description, properties, strict, cache: Tool(
        name=name, description=description, parameters=raw({"type": "object", "properties": properties}), strict=strict, cache=cache
    ),
    names, st.one_of(st.just(""), words), objects, st.sampled_from([None, True, False]), marks,
)  # fmt: skip
searches = st.builds(
    lambda uses, domains, city: WebSearch(
        max_uses=uses, allowed_domains=tuple(domains), location=raw({"city": city}),
        carry=Carry(NAME, raw({"type": "web_search_20250305", "name": "web_search"})),
    ),
    st.sampled_from([None, 1, 5]), st.lists(names, max_size=2), words,
)  # fmt: skip
reasonings = st.one_of(
    st.none(),
    st.builds(lambda shown: Reasoning(enabled=True, shown=shown), st.sampled_from([None, True, False])),
    st.just(Reasoning(enabled=False)),
    st.builds(lambda effort: Reasoning(effort=effort), st.sampled_from(["low", "medium", "high", "max"])),
    st.builds(lambda effort: Reasoning(enabled=True, effort=effort), st.sampled_from(["low", "xhigh"])),
)
requests = st.builds(
    lambda choice, parallel, **fields: Request(
        origin=NAME, model="claude-sonnet-4-5",
        tool_choice=choice, parallel_tool_calls=None if choice is None or choice.mode == "none" else parallel, **fields,
    ),
    turns=turns(),
    tools=st.lists(tools, min_size=1, max_size=3).map(tuple),
    web_search=st.one_of(st.none(), searches),
    choice=st.sampled_from([None, ToolChoice(), ToolChoice("required"), ToolChoice("required", ("f",)), ToolChoice("none")]),
    parallel=st.sampled_from([None, True, False]),
    max_output_tokens=st.one_of(st.none(), st.integers(1, 64000)),
    temperature=st.one_of(st.none(), st.floats(0, 1)),
    top_p=st.one_of(st.none(), st.floats(0, 1)),
    top_k=st.one_of(st.none(), st.integers(1, 500)),
    stop=st.lists(words.filter(str.strip), max_size=3).map(tuple),
    reasoning=reasonings,
    format=st.one_of(st.none(), st.builds(lambda schema: Format(kind="json_schema", schema=raw(schema)), objects)),
    cache=marks,
    user=st.one_of(st.just(""), words),
    service_tier=st.sampled_from(["", "auto", "default"]),
    extras=st.sampled_from([{}, {"container": msgspec.Raw(b'"c_1"'), "metadata": msgspec.Raw(b'{"x":1}')}]),
)  # fmt: skip

usages = st.builds(
    Usage,
    input_tokens=st.integers(0, 99), cache_read_tokens=st.integers(0, 99), cache_write_tokens=st.integers(0, 99),
    cache_write_5m_tokens=st.integers(0, 99), cache_write_1h_tokens=st.integers(0, 99), output_tokens=st.integers(0, 99),
    reasoning_tokens=st.integers(0, 99), web_searches=st.integers(0, 3),
)  # fmt: skip


def _own_citation(url: str, title: str, quote: str, index: str) -> Citation:
    whole = {"type": "web_search_result_location", "url": url, "title": title, "cited_text": quote}
    return Citation(url=url, title=title, quote=quote, carry=Carry(NAME, raw({**whole, "encrypted_index": index})))


own_citations = st.builds(_own_citation, words, words, words, words)
own_parts = st.one_of(
    st.builds(lambda text, cited: Text(text, tuple(cited)), words, st.lists(own_citations, max_size=2)),
    thinking,
    st.builds(lambda name, inputs: ToolCall("toolu_1", name, json.dumps(inputs)), names, objects),
    st.builds(
        lambda name: ToolCall("srvtoolu_1", name, "{}", "server", "", Carry(NAME, raw({"type": "server_tool_use"}))),
        names,
    ),
    opaque,
)
_WORDS_OF_ITS_OWN = [
    reason
    for reason in FinishReason
    if reason not in (FinishReason.CONTENT_FILTER, FinishReason.BROKEN_TOOL_CALL, FinishReason.OTHER)
]


def answers(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Response]:
    return st.builds(
        lambda found, finish, stop, usage, tier: Response(
            candidates=(Candidate(tuple(found), finish, "", stop if finish is FinishReason.STOP_SEQUENCE else None),),
            usage=usage, service_tier=tier,
        ),
        st.lists(parts, max_size=5, unique_by=msgspec.json.encode), st.sampled_from(_WORDS_OF_ITS_OWN), words, usages,
        st.sampled_from(["", "default", "priority", "batch"]),
    )  # fmt: skip


others_parts = st.one_of(
    st.builds(lambda text, carry: Text(text, carry=carry), words, st.one_of(st.none(), foreign)),
    st.builds(lambda text, carry: Thinking(text, False, carry), words, st.one_of(st.none(), foreign)),
    st.builds(lambda carry: Thinking("", True, carry), foreign),
    st.builds(
        lambda number, name, inputs, carry: ToolCall(f"call_{number}", name, json.dumps(inputs), carry=carry),
        st.integers(0, 10**9), names, objects, st.one_of(st.none(), foreign),
    ),
    st.builds(lambda carry: Opaque("computer_call", carry), foreign),
    st.builds(Refusal, words),
)  # fmt: skip
