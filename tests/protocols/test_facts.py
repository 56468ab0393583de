"""Routing learns the same of a request whatever protocol it came in."""

import msgspec
import pytest

from trunkline.ir.parts import Media, Text, ToolCall, ToolResult, Turn
from trunkline.ir.request import Format, Reasoning, Request, Tool
from trunkline.protocols.codec import CHAT, GEMINI, MESSAGES, RESPONSES
from trunkline.protocols.facts import facts_of, in_words_of

WORDS = frozenset({"top_k", "max_completion_tokens", "n", "tools", "response_format", "reasoning_effort", "min_p"})


def test_parameters_are_named_in_the_words_of_the_catalog() -> None:
    asked = Request(
        origin="gemini", model="m", turns=(), top_k=0, max_output_tokens=5, candidates=2, user="u", tools=(Tool(name="f"),),
        format=Format(kind="json_object"), reasoning=Reasoning(effort="low"), extras={"min_p": msgspec.Raw(b"1"), "x": msgspec.Raw(b"1")},
    )  # fmt: skip
    facts = facts_of(asked, WORDS)
    assert set(facts.parameters) == WORDS
    assert facts.needs == ("tools", "response_format", "reasoning")
    assert facts.max_output_tokens == 5


def test_modalities_and_sizes_are_those_of_all_parts() -> None:
    picture = Media(kind="image", data=b"A" * 9999)
    turns = (
        Turn("user", (Text("12345"), Media(kind="audio", data=b"A"))),
        Turn("assistant", (ToolCall("c", "ab", "{}"),)),
        Turn("user", (ToolResult("c", "ab", (Text("678"), picture)),)),
    )
    facts = facts_of(Request(origin="gemini", model="m", turns=turns), WORDS)
    assert facts.modalities == {"text", "image", "audio"}
    assert facts.prompt_bytes == 12


def test_reasoning_that_is_off_is_no_need() -> None:
    asked = Request(origin="gemini", model="m", turns=(), reasoning=Reasoning(enabled=False, effort="high"))
    assert facts_of(asked, WORDS).needs == ()


@pytest.mark.parametrize(
    ("name", "protocol", "said"),
    [
        ("messages", MESSAGES, "messages"),
        ("messages", RESPONSES, "input"),
        ("messages", GEMINI, "contents"),
        ("max_completion_tokens", MESSAGES, "max_tokens"),
        ("max_completion_tokens", GEMINI, "generationConfig.maxOutputTokens"),
        ("response_format", RESPONSES, "text.format"),
        ("reasoning_effort", MESSAGES, "thinking"),
        ("seed", MESSAGES, "seed"),
        ("seed", CHAT, "seed"),
        ("prediction", GEMINI, "prediction"),
    ],
)
def test_what_routing_refuses_can_be_named_in_the_callers_words(name: str, protocol: str, said: str) -> None:
    assert in_words_of(protocol, name) == said
