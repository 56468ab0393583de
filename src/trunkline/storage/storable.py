"""Makes values storable. In: a record or intent that the store refused. Out: the same with what cannot be kept replaced.

A provider's nonsense (a token count of 30 digits, half a surrogate pair) must neither stop the writer nor lose the record.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from trunkline.records.types import Intent, Record

_INT64_MAX = 2**63 - 1
_INDEXED_CHARS = 500
"""Of a text in an index PostgreSQL takes a third of a page: https://www.postgresql.org/docs/14/btree-implementation.html"""
NOTE = "stored with values changed: it held text or numbers that the store cannot keep"
Item = TypeVar("Item", bound=msgspec.Struct)


def storable_record(record: Record) -> Record:
    """Lone surrogates and NUL become U+FFFD, integers are held within 64 bits, floats that are no numbers become 0, raw usage that
    is no JSON becomes null, an answer's id is cut to what an index takes. A note says so, if anything was changed."""
    clean = _storable_struct(record)
    if isinstance(clean.answer_id, str):
        clean = msgspec.structs.replace(clean, answer_id=clean.answer_id[:_INDEXED_CHARS])
    return msgspec.structs.replace(clean, notes=(*clean.notes, NOTE)) if clean != record else record


def storable_intent(intent: Intent) -> Intent:
    """The same for an intent, which has no notes."""
    return _storable_struct(intent)


def _storable_struct(struct: Item) -> Item:
    return type(struct)(**{name: _storable(getattr(struct, name)) for name in struct.__struct_fields__})


def _storable(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return _storable_struct(value)
    if isinstance(value, tuple):
        return tuple(_storable(item) for item in value)
    make = _MAKERS.get(type(value))
    return make(value) if make else value


def _storable_text(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\0", "\ufffd")


def _storable_int(number: int) -> int:
    return max(-_INT64_MAX, min(_INT64_MAX, number))


def _storable_float(number: float) -> float:
    return number if math.isfinite(number) else 0.0


def _storable_raw(raw: msgspec.Raw) -> msgspec.Raw:
    try:
        msgspec.json.decode(raw)
    except ValueError:
        return msgspec.Raw(b"null")
    return raw


_MAKERS: dict[type, Callable[[Any], Any]] = {
    str: _storable_text,
    int: _storable_int,
    float: _storable_float,
    msgspec.Raw: _storable_raw,
}
