"""Usage with what OpenAI's object has no place for: caches written by time to live, and searches. In: a raw object, or `Usage`. Out: the other.

The names are OpenRouter's where it has one (https://openrouter.ai/docs/use-cases/usage-accounting), so that gateways in a row understand each other.
"""

from typing import Any

import msgspec

from trunkline.ir.usage import Usage
from trunkline.protocols.codec import Bill
from trunkline.protocols.openai_chat import usage as plain

_replace = msgspec.structs.replace


class _Written(msgspec.Struct):
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0


class _Searches(msgspec.Struct):
    web_search_requests: int | None = 0


class _More(msgspec.Struct):
    prompt_tokens_details: _Written | None = None
    server_tool_use: _Searches | None = None
    estimated: bool = False


_decoder = msgspec.json.Decoder(_More)
_MARKS = (b'"cache_write_', b'"web_search_requests"', b'"estimated"')


def read_usage(raw: bytes | msgspec.Raw) -> Usage:
    """The buckets. Raises one of `rawjson.UNREADABLE` where it is no usage."""
    usage, text = plain.read_usage(raw), bytes(raw)
    if not any(mark in text for mark in _MARKS):
        return usage
    more = _decoder.decode(text)
    details, searches = more.prompt_tokens_details or _Written(), more.server_tool_use
    by_ttl = details.cache_write_5m_tokens + details.cache_write_1h_tokens
    return _replace(
        usage,
        cache_write_tokens=max(0, usage.cache_write_tokens - by_ttl),
        cache_write_5m_tokens=details.cache_write_5m_tokens,
        cache_write_1h_tokens=details.cache_write_1h_tokens,
        web_searches=usage.web_searches or ((searches.web_search_requests or 0) if searches else 0),
        estimated=more.estimated,
    )


def write_usage(usage: Usage) -> bytes:
    return msgspec.json.encode(_object(usage))


def with_bill(usage: Usage, bill: Bill) -> msgspec.Raw:
    """The usage object of an answer, with what it cost."""
    written = _object(usage)
    if bill.cost:
        written["cost"] = msgspec.Raw(bill.cost)
    if bill.details:
        written["cost_details"] = msgspec.Raw(bill.details)
    return msgspec.Raw(msgspec.json.encode(written))


def _object(usage: Usage) -> dict[str, Any]:
    total_in, total_out = usage.total_input_tokens, usage.total_output_tokens
    by_ttl = {
        "cache_write_5m_tokens": usage.cache_write_5m_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
    }
    written = usage.cache_write_tokens + sum(by_ttl.values())
    return {
        "prompt_tokens": total_in,
        "completion_tokens": total_out,
        "total_tokens": total_in + total_out,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "audio_tokens": usage.input_audio_tokens,
            **({"image_tokens": usage.input_image_tokens} if usage.input_image_tokens else {}),
            **({"cache_write_tokens": written} if written else {}),
            **{name: count for name, count in by_ttl.items() if count},
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.output_audio_tokens,
            **({"image_tokens": usage.output_image_tokens} if usage.output_image_tokens else {}),
        },
        **({"server_tool_use": {"web_search_requests": usage.web_searches}} if usage.web_searches else {}),
        **({"estimated": True} if usage.estimated else {}),
    }
