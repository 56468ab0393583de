"""Counts long prompts, of which their bytes do not tell whether they fit. In: a request. Out: its facts, with the tokens of its text.

Only with the extra `tokens`, and only for models of OpenAI, whose tokenizers are public: https://github.com/openai/tiktoken. Counting takes up to 20 µs
for each KB, so it is done in a thread, and for nothing that fits by its bytes.
"""

import asyncio
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

import msgspec

from trunkline.errors import InvalidParams
from trunkline.execution.asked import Asked
from trunkline.ir.parts import Part, Text, ToolCall, ToolResult
from trunkline.ir.request import Request

Tokenizer = Callable[[list[str]], int]
"""Tokens of texts."""
AUTHOR = "openai"
ENCODING = "o200k_base"
COUNTED_FROM_BYTES = 16_000
_OTHERS = ("openai/gpt-3.5*", "openai/gpt-4", "openai/gpt-4-*")
"""Models of the same author with an older encoding: https://github.com/openai/tiktoken/blob/main/tiktoken/model.py"""


def load() -> Tokenizer | None:
    """The extra's tokenizer, ready to count; None where it is not installed. For the start: it takes a second, in which nothing else runs."""
    try:
        from toktok import batch_count
    except ImportError:
        return None

    def count(texts: list[str]) -> int:
        return sum(batch_count(texts, ENCODING, threads=1))

    count(["ready"])
    return count


async def count(tokenizer: Tokenizer, asked: Asked, slug: str) -> None:
    """Put the tokens of the request's text into its facts. `slug` is the model that it asks for."""
    if not is_counted(slug):
        return
    try:
        texts = [text for part in _parts(asked.canonical()) for text in _texts(part)]
    except InvalidParams:
        # What our reader does not take passes through all the same, and is told by its bytes.
        return
    tokens = await asyncio.to_thread(tokenizer, texts)
    asked.facts = msgspec.structs.replace(asked.facts, prompt_tokens=tokens, counted_for=AUTHOR)


def is_counted(slug: str) -> bool:
    """Whether the model's tokenizer is the one that is at hand."""
    return slug.startswith(f"{AUTHOR}/") and not any(fnmatchcase(slug, pattern) for pattern in _OTHERS)


def _parts(request: Request) -> Iterator[Part]:
    for turn in request.turns:
        for part in turn.parts:
            yield part
            if isinstance(part, ToolResult):
                yield from part.parts


def _texts(part: Part) -> Iterator[str]:
    """What surely is in the prompt. What a template adds is not known, so there are a little more."""
    if isinstance(part, Text):
        yield part.text
    elif isinstance(part, ToolCall):
        yield part.arguments
