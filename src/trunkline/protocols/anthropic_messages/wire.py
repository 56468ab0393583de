"""What the readers and writers of Messages share: decoders of small values, cache marks, stop reasons, and the framing of named events.

In: raw values of a wire object. Out: Python values; or bytes of one event.
"""

from collections.abc import Mapping

import msgspec

from trunkline.ir.parts import CacheMark
from trunkline.ir.response import FinishReason
from trunkline.protocols.rawjson import Fields, is_null

encode = msgspec.json.encode
text_of = msgspec.json.Decoder(str).decode
fields_of = msgspec.json.Decoder(Fields).decode
items_of = msgspec.json.Decoder(list[msgspec.Raw]).decode
bool_of = msgspec.json.Decoder(bool).decode

# https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
FINISH: Mapping[str, FinishReason] = {
    "end_turn": FinishReason.END,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "pause_turn": FinishReason.PAUSED,
    "refusal": FinishReason.REFUSAL,
    "model_context_window_exceeded": FinishReason.CONTEXT_FULL,
}
STOP_REASON: Mapping[FinishReason, str] = {
    **{reason: word for word, reason in FINISH.items()},
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.BROKEN_TOOL_CALL: "end_turn",
    FinishReason.OTHER: "end_turn",
}

_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
_TTLS_S: Mapping[str, int] = {"5m": 300, "1h": 3600}


class CacheControl(msgspec.Struct):
    ttl: str | None = None


_cache_control = msgspec.json.Decoder(CacheControl | None).decode


def take(fields: Fields, name: str) -> msgspec.Raw | None:
    """The value of a key, which is taken out; None where it is absent or null."""
    value = fields.pop(name, None)
    return None if is_null(value) else value


def take_text(fields: Fields, name: str) -> str:
    """A text that may be absent."""
    value = take(fields, name)
    return "" if value is None else text_of(value)


def peek_text(fields: Fields, name: str) -> str:
    """The same, left where it is."""
    value = fields.get(name)
    return "" if value is None or is_null(value) else text_of(value)


def need(fields: Fields, name: str) -> msgspec.Raw:
    """A value that must be there. Raises `msgspec.ValidationError` where it is not."""
    value = take(fields, name)
    if value is None:
        raise msgspec.ValidationError(f"`{name}` is missing")
    return value


def take_cache(fields: Fields) -> CacheMark | None:
    """`cache_control`, which is taken out (https://platform.claude.com/docs/en/build-with-claude/prompt-caching#1-hour-cache-duration)."""
    value = fields.pop("cache_control", None)
    mark = None if value is None else _cache_control(value)
    return None if mark is None else mark_of(mark)


def mark_of(mark: CacheControl) -> CacheMark:
    return CacheMark(_TTLS_S.get(mark.ttl or "5m", 300))


def cache_control(mark: CacheMark) -> dict[str, str]:
    """The wire's mark: the shorter life where it is enough."""
    return {"type": "ephemeral"} if mark.ttl_s <= _TTLS_S["5m"] else {"type": "ephemeral", "ttl": "1h"}


def named_event(name: bytes, data: bytes) -> bytes:
    """One event; its name is the `type` in its data. Raw values in it may have line ends, which in JSON stand only where a blank may."""
    if data.find(b"\n") >= 0 or data.find(b"\r") >= 0:
        data = data.translate(_ONE_LINE)
    return b"event: %b\ndata: %b\n\n" % (name, data)
