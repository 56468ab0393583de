"""Usage of Messages, into disjoint buckets and back. In: the raw `usage` object. Out: `Usage`; the object again, with its cost where it is known.

`input_tokens` leaves out what was read from or written to the cache, `output_tokens` includes thinking
(https://platform.claude.com/docs/en/build-with-claude/prompt-caching#tracking-cache-performance).
"""

import msgspec

from trunkline.ir.usage import Usage
from trunkline.protocols.codec import Bill
from trunkline.protocols.rawjson import Fields, is_null, join, split


class _Written(msgspec.Struct):
    ephemeral_5m_input_tokens: int | None = 0
    ephemeral_1h_input_tokens: int | None = 0


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = 0


class _ServerTools(msgspec.Struct):
    web_search_requests: int | None = 0


class _Usage(msgspec.Struct):
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cache_creation_input_tokens: int | None = 0
    cache_read_input_tokens: int | None = 0
    cache_creation: _Written | None = None
    output_tokens_details: _OutputDetails | None = None
    server_tool_use: _ServerTools | None = None


_decoder = msgspec.json.Decoder(_Usage)


def read_usage(raw: bytes | msgspec.Raw) -> Usage:
    """The buckets of a raw usage object. Raises one of `rawjson.UNREADABLE` where it is none."""
    found = _decoder.decode(raw)
    written, details, tools = found.cache_creation, found.output_tokens_details, found.server_tool_use
    short = (written.ephemeral_5m_input_tokens or 0) if written else 0
    long = (written.ephemeral_1h_input_tokens or 0) if written else 0
    total_written, read = found.cache_creation_input_tokens or 0, found.cache_read_input_tokens or 0
    thinking = (details.thinking_tokens or 0) if details else 0
    searches = (tools.web_search_requests or 0) if tools else 0
    into, out = found.input_tokens or 0, found.output_tokens or 0
    if min(short, long, total_written, read, thinking, searches, into, out) < 0:
        raise msgspec.ValidationError("a count is negative")
    return Usage(
        input_tokens=into,
        cache_read_tokens=read,
        cache_write_tokens=max(0, total_written - short - long),
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        output_tokens=max(0, out - thinking),
        reasoning_tokens=min(thinking, out),
        web_searches=searches,
    )


def write_usage(usage: Usage) -> bytes:
    """The usage object of an answer. Sound and images count as input and output, since the protocol has no buckets for them."""
    written = usage.cache_write_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    found: dict[str, object] = {
        "input_tokens": usage.input_tokens + usage.input_audio_tokens + usage.input_image_tokens,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.total_output_tokens,
    }
    if usage.reasoning_tokens:
        found["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    if usage.web_searches:
        found["server_tool_use"] = {"web_search_requests": usage.web_searches, "web_fetch_requests": 0}
    if usage.estimated:
        found["estimated"] = True
    return msgspec.json.encode(found)


def billed(usage: Usage, bill: Bill, service_tier: str) -> bytes:
    """The usage object with the tier that served and the cost."""
    written = write_usage(usage)
    more = b""
    if service_tier:
        more += b',"service_tier":%b' % msgspec.json.encode(_TIERS.get(service_tier, service_tier))
    if bill.cost:
        more += b',"cost":%b' % bill.cost
    if bill.details:
        more += b',"cost_details":%b' % bill.details
    return b"%b%b}" % (written[:-1], more) if more else written


def put_together(first: Fields, later: Fields) -> Fields:
    """The counts of a stream, told in two pieces. Those of input that are missing or 0 in the later one stand as they were: not all repeat them."""
    return {**first, **{name: value for name, value in later.items() if name not in first or _counts(name, value)}}


def merged(pieces: list[msgspec.Raw]) -> msgspec.Raw:
    """One usage object of all pieces so far."""
    if len(pieces) == 1:
        return pieces[0]
    found: Fields = {}
    for piece in pieces:
        found = put_together(found, split(bytes(piece)))
    return msgspec.Raw(join(found))


def _counts(name: str, value: msgspec.Raw) -> bool:
    return not is_null(value) and (name == "output_tokens" or bytes(value) != b"0")


# Anthropic's words for OpenAI's, which records and prices go by: https://platform.claude.com/docs/en/api/service-tiers
_TIERS = {"default": "standard"}
_SERVED = {"standard": "default"}


class _Tier(msgspec.Struct):
    service_tier: str | None = ""


_tier = msgspec.json.Decoder(_Tier).decode


def service_tier(raw: msgspec.Raw) -> str:
    """The tier that served, in OpenAI's words; "" where the provider did not say."""
    found = _tier(raw).service_tier or ""
    return _SERVED.get(found, found)
