"""What all readers and writers of this protocol share: keys in both spellings, typed values out of raw ones, and words for what is wrong.

In: JSON objects as `Fields`, each taken apart one level at a time, so that what is left over can travel in a carry. Out: values, or `InvalidParams`.
Google takes every key as camelCase and as snake_case (https://protobuf.dev/programming-guides/json/), and so do we.
"""

from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

from trunkline.errors import InvalidParams
from trunkline.protocols.rawjson import UNREADABLE, Fields, join, split

T = TypeVar("T")

NULL = msgspec.Raw(b"null")
_KNOWN_KEY = 64


class Kind(Generic[T]):
    """What a value must be: how to decode it, and in words. Made once per kind."""

    __slots__ = ("decoder", "wanted")

    def __init__(self, decoder: "msgspec.json.Decoder[T | None]", wanted: str) -> None:
        self.decoder = decoder
        self.wanted = wanted


# Numbers may come as text, too: 64-bit ones always do in Google's JSON.
TEXT: Kind[str] = Kind(msgspec.json.Decoder(str | None), "a string")
INTEGER: Kind[int] = Kind(msgspec.json.Decoder(int | None, strict=False), "a whole number")
NUMBER: Kind[float] = Kind(msgspec.json.Decoder(float | None, strict=False), "a number")
BOOLEAN: Kind[bool] = Kind(msgspec.json.Decoder(bool | None, strict=False), "true or false")
_TEXTS: Kind[list[str]] = Kind(msgspec.json.Decoder(list[str] | None), "a list of strings")
OBJECT: Kind[Fields] = Kind(msgspec.json.Decoder(Fields | None), "an object")
_OBJECTS: Kind[list[Fields] | Fields] = Kind(msgspec.json.Decoder(list[Fields] | Fields | None), "a list of objects")


def invalid(field: str, wanted: str) -> InvalidParams:
    """The error for a field that is not what it must be."""
    return InvalidParams(f"`{field}` must be {wanted}.", param=field)


def spelled(fields: Fields) -> Fields:
    """The same with all keys in camelCase; of a key in both spellings the later one counts."""
    for key in fields:
        if "_" in key:
            return {camel(key) if len(key) <= _KNOWN_KEY else key: value for key, value in fields.items()}
    return fields


def take(fields: Fields, key: str, kind: Kind[T], where: str) -> T | None:
    """The value of a key, which is taken out; None where it is absent or null."""
    raw = fields.pop(key, None)
    if raw is None:
        return None
    try:
        return kind.decoder.decode(raw)
    except UNREADABLE:
        raise invalid(where + key, kind.wanted) from None


def take_texts(fields: Fields, key: str, where: str) -> tuple[str, ...]:
    """A list of strings, taken out."""
    found = take(fields, key, _TEXTS, where)
    return () if found is None else tuple(found)


def take_object(fields: Fields, key: str, where: str) -> Fields | None:
    """An object, taken out and apart."""
    found = take(fields, key, OBJECT, where)
    return None if found is None else spelled(found)


def take_objects(fields: Fields, key: str, where: str) -> list[Fields]:
    """A list of objects. A single one stands for a list of it, as Google has it (https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference)."""
    found = take(fields, key, _OBJECTS, where)
    if found is None:
        return []
    return [spelled(each) for each in (found if isinstance(found, list) else [found])]


def objects_of(raw: msgspec.Raw | bytes, field: str) -> list[Fields]:
    """The same of a value."""
    return take_objects({field: msgspec.Raw(raw)}, field, "")


def merged(fields: dict[str, Any], carried: Fields) -> dict[str, Any]:
    """A part of ours with the keys of a carry put back, those of objects within as well."""
    for key, value in carried.items():
        ours = fields.get(key)
        if isinstance(ours, dict):
            merged(ours, split(bytes(value)))
        else:
            fields[key] = value
    return fields


def nested(key: str, leftover: Fields) -> Fields:
    """What is left of an object within a part, as the carry of the part has it."""
    return {key: msgspec.Raw(join(leftover))} if leftover else {}


@lru_cache(maxsize=1024)
def camel(key: str) -> str:
    head, *rest = key.lstrip("_").split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)
