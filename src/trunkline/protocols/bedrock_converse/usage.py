"""Usage of Converse, into disjoint buckets. In: the raw `usage` object. Out: `Usage`.

`inputTokens` leaves out what was read from or written to the cache; `outputTokens` includes reasoning, which is not told apart
(https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html, .../userguide/prompt-caching.html).
"""

import msgspec

from trunkline.ir.usage import Usage
from trunkline.protocols.rawjson import UNREADABLE

_SHORT, _LONG = "5m", "1h"


class _Written(msgspec.Struct, rename="camel"):
    ttl: str = ""
    input_tokens: int | None = 0


class _Usage(msgspec.Struct, rename="camel"):
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cache_read_input_tokens: int | None = 0
    cache_write_input_tokens: int | None = 0
    cache_details: list[_Written] | None = None


_decoder = msgspec.json.Decoder(_Usage)


def read_usage(raw: bytes | msgspec.Raw) -> Usage:
    """The buckets of a raw usage object. Raises one of `rawjson.UNREADABLE` where it is none."""
    found = _decoder.decode(raw)
    details = found.cache_details or ()
    short = sum(one.input_tokens or 0 for one in details if one.ttl == _SHORT)
    long = sum(one.input_tokens or 0 for one in details if one.ttl == _LONG)
    into, out = found.input_tokens or 0, found.output_tokens or 0
    read, written = found.cache_read_input_tokens or 0, found.cache_write_input_tokens or 0
    if min(short, long, into, out, read, written) < 0:
        raise msgspec.ValidationError("a count is negative")
    return Usage(
        input_tokens=into,
        cache_read_tokens=read,
        cache_write_tokens=max(0, written - short - long),
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        output_tokens=out,
    )


def usage_of(raw: msgspec.Raw) -> Usage | None:
    """The counts; None where there are none, or such that make no sense, which is not worth an answer."""
    try:
        return read_usage(raw)
    except UNREADABLE:
        return None
