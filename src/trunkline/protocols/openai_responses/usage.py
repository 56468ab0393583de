"""Usage of Responses, into disjoint buckets and back. In: the raw `usage` object. Out: `Usage`; the object.

`input_tokens` includes what was read from and written to the cache, `output_tokens` includes reasoning
(https://developers.openai.com/api/reference/resources/responses/methods/create), but where `total_tokens` says that reasoning lies beside it.
"""

import msgspec

from trunkline.ir.usage import Usage


class _Into(msgspec.Struct):
    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    audio_tokens: int | None = 0
    image_tokens: int | None = 0


class _Out(msgspec.Struct):
    reasoning_tokens: int | None = 0
    audio_tokens: int | None = 0
    image_tokens: int | None = 0


class _Usage(msgspec.Struct):
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    total_tokens: int | None = 0
    input_tokens_details: _Into | None = None
    output_tokens_details: _Out | None = None


_decoder = msgspec.json.Decoder(_Usage)
_NO_INTO, _NO_OUT = _Into(), _Out()


def read_usage(raw: bytes | msgspec.Raw) -> Usage:
    """The buckets of a raw usage object. Raises one of `rawjson.UNREADABLE` where it is none."""
    found = _decoder.decode(raw)
    into, out = found.input_tokens_details or _NO_INTO, found.output_tokens_details or _NO_OUT
    cached, written = into.cached_tokens or 0, into.cache_write_tokens or 0
    audio_in, image_in = into.audio_tokens or 0, into.image_tokens or 0
    reasoning, audio_out, image_out = out.reasoning_tokens or 0, out.audio_tokens or 0, out.image_tokens or 0
    all_in, all_out = found.input_tokens or 0, found.output_tokens or 0
    if min(cached, written, audio_in, image_in, reasoning, audio_out, image_out, all_in, all_out) < 0:
        raise msgspec.ValidationError("a count is negative")
    outside = reasoning > 0 and found.total_tokens == all_in + all_out + reasoning
    return Usage(
        input_tokens=max(0, all_in - cached - written - audio_in - image_in),
        cache_read_tokens=cached,
        cache_write_tokens=written,
        input_audio_tokens=audio_in,
        input_image_tokens=image_in,
        output_tokens=max(0, all_out - (0 if outside else reasoning) - audio_out - image_out),
        reasoning_tokens=reasoning,
        output_audio_tokens=audio_out,
        output_image_tokens=image_out,
    )


def write_usage(usage: Usage) -> bytes:
    """The usage object. Sound and images have a word in it only where there were any; searches are counted by their items."""
    total_in, total_out = usage.total_input_tokens, usage.total_output_tokens
    written = usage.cache_write_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    into = {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": written}
    into |= _said(audio_tokens=usage.input_audio_tokens, image_tokens=usage.input_image_tokens)
    out = {"reasoning_tokens": usage.reasoning_tokens}
    out |= _said(audio_tokens=usage.output_audio_tokens, image_tokens=usage.output_image_tokens)
    wire: dict[str, object] = {
        "input_tokens": total_in,
        "input_tokens_details": into,
        "output_tokens": total_out,
        "output_tokens_details": out,
        "total_tokens": total_in + total_out,
    }
    if usage.estimated:
        wire["estimated"] = True
    return msgspec.json.encode(wire)


def _said(**counts: int) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
