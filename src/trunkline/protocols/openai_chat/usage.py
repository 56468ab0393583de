"""Usage of Chat Completions, into disjoint buckets and back with its cost. In: the raw `usage` object. Out: `Usage`; the object with `cost`.

`prompt_tokens` includes cached tokens and `completion_tokens` includes reasoning (https://platform.openai.com/docs/api-reference/chat/object), but not
everywhere: xAI counts reasoning beside the completion, and says so by `total_tokens` (https://docs.x.ai/docs/guides/reasoning).
"""

from typing import Annotated, Any

import msgspec

from trunkline.ir.usage import Usage
from trunkline.protocols.rawjson import UNREADABLE, join, put_into, split


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = 0
    audio_tokens: int | None = 0
    image_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    """OpenRouter's name: https://openrouter.ai/docs/features/prompt-caching"""
    cache_creation_tokens: int | None = 0


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = 0
    audio_tokens: int | None = 0
    image_tokens: int | None = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    total_tokens: int | None = 0
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek: https://api-docs.deepseek.com/guides/kv_cache"""
    cached_tokens: int | None = None
    """Moonshot puts it at the top: https://platform.moonshot.ai/docs/api/chat"""
    num_search_queries: int | None = 0
    """Perplexity: https://docs.perplexity.ai/api-reference/chat-completions-post"""
    server_tool_use: dict[str, Any] | None = None


Count = Annotated[int, msgspec.Meta(ge=0)]


class _UsualInput(msgspec.Struct, gc=False):
    cached_tokens: Count = 0
    audio_tokens: Count = 0
    image_tokens: Count = 0
    cache_write_tokens: Count = 0
    cache_creation_tokens: Count = 0


class _UsualOutput(msgspec.Struct, gc=False):
    reasoning_tokens: Count = 0
    audio_tokens: Count = 0
    image_tokens: Count = 0


class _Usual(msgspec.Struct, gc=False):
    """As most write it: a number where there is one."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: int = 0
    prompt_tokens_details: _UsualInput | None = None
    completion_tokens_details: _UsualOutput | None = None
    prompt_cache_hit_tokens: Count = 0
    cached_tokens: Count = 0
    num_search_queries: Count = 0


_KEY = b'"usage":'
_usual = msgspec.json.Decoder(_Usual)
_decoder = msgspec.json.Decoder(_Usage)
_NO_INPUT, _NO_OUTPUT = _InputDetails(), _OutputDetails()


def usage_of(value: msgspec.Raw) -> bytes | None:
    """The raw usage object of an answer; None for null, an empty one, or what is no object."""
    text = bytes(value)
    return text if text.startswith(b"{") and text.find(b":") > 0 else None


def read_usage(raw: bytes | msgspec.Raw) -> Usage:
    """The buckets of a raw usage object. Raises one of `rawjson.UNREADABLE` where it is none."""
    try:
        found = _usual.decode(raw)
    except UNREADABLE:
        return _read_unusual(raw)
    into, out = found.prompt_tokens_details, found.completion_tokens_details
    cached, written, audio_in, image_in = found.prompt_cache_hit_tokens or found.cached_tokens, 0, 0, 0
    if into is not None:
        cached = into.cached_tokens or cached
        written = into.cache_write_tokens or into.cache_creation_tokens
        audio_in, image_in = into.audio_tokens, into.image_tokens
    prompt, completion = found.prompt_tokens, found.completion_tokens
    reasoning = audio_out = image_out = 0
    if out is not None:
        reasoning, audio_out, image_out = out.reasoning_tokens, out.audio_tokens, out.image_tokens
    inside = audio_out + image_out
    if reasoning and found.total_tokens != prompt + completion + reasoning:
        inside += reasoning
    fresh, said = prompt - cached - written - audio_in - image_in, completion - inside
    # By position, in the order of `Usage`.
    return Usage(
        fresh if fresh > 0 else 0,
        cached,
        written,
        0,
        0,
        audio_in,
        image_in,
        said if said > 0 else 0,
        reasoning,
        audio_out,
        image_out,
        found.num_search_queries,
    )


def _read_unusual(raw: bytes | msgspec.Raw) -> Usage:
    found = _decoder.decode(raw)
    into, out = found.prompt_tokens_details or _NO_INPUT, found.completion_tokens_details or _NO_OUTPUT
    cached = into.cached_tokens or found.prompt_cache_hit_tokens or found.cached_tokens or 0
    written = into.cache_write_tokens or into.cache_creation_tokens or 0
    audio_in, image_in = into.audio_tokens or 0, into.image_tokens or 0
    reasoning, audio_out, image_out = out.reasoning_tokens or 0, out.audio_tokens or 0, out.image_tokens or 0
    prompt, completion = found.prompt_tokens or 0, found.completion_tokens or 0
    if min(cached, written, audio_in, image_in, reasoning, audio_out, image_out, prompt, completion) < 0:
        raise msgspec.ValidationError("a count is negative")
    outside = reasoning > 0 and found.total_tokens == prompt + completion + reasoning
    return Usage(
        input_tokens=max(0, prompt - cached - written - audio_in - image_in),
        cache_read_tokens=cached,
        cache_write_tokens=written,
        input_audio_tokens=audio_in,
        input_image_tokens=image_in,
        output_tokens=max(0, completion - (0 if outside else reasoning) - audio_out - image_out),
        reasoning_tokens=reasoning,
        output_audio_tokens=audio_out,
        output_image_tokens=image_out,
        web_searches=found.num_search_queries or 0,
    )


def write_usage(usage: Usage) -> bytes:
    """The usage object for an answer whose provider told none; one that is estimated says so."""
    total_in, total_out = usage.total_input_tokens, usage.total_output_tokens
    written: dict[str, object] = {
        "prompt_tokens": total_in,
        "completion_tokens": total_out,
        "total_tokens": total_in + total_out,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "audio_tokens": usage.input_audio_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.output_audio_tokens,
        },
    }
    if usage.estimated:
        written["estimated"] = True
    return msgspec.json.encode(written)


def put_cost(text: bytes, usage: bytes, cost: bytes, details: bytes) -> bytes | None:
    """An answer or event with `cost` (USD, a number) and `cost_details` put into the usage object that stands in it.

    None where it has to be taken apart for that: a usage that has a cost already (OpenRouter's), or stands there twice (Groq's).
    """
    if b'"cost' in usage:
        return None
    at = text.rfind(_KEY)
    start = at + len(_KEY) + (1 if text.startswith(b" ", at + len(_KEY)) else 0)
    if at < 0 or not text.startswith(usage, start) or text.find(_KEY, 0, at) >= 0:
        return put_into(text, usage, b"".join((b'"cost":', cost, b',"cost_details":', details)))
    # The one place with that key: most write it so, and a short word is sooner found than a long object.
    end = start + len(usage) - 1
    return b"".join((text[:end], b',"cost":', cost, b',"cost_details":', details, text[end:]))


def with_cost(usage: bytes, cost: bytes, details: bytes) -> bytes:
    """The usage object with its cost, our own in the place of another's."""
    fields = split(usage)
    fields["cost"] = msgspec.Raw(cost)
    fields["cost_details"] = msgspec.Raw(details)
    return join(fields)
