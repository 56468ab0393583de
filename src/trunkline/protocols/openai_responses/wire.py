"""What all readers of Responses share: typed values out of the raw keys of an item. In: `Fields`, keys are taken out. Out: values.

Raises `WrongField`, whose `field` is a path within the item, e.g. `content[0].text`.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from trunkline.protocols.rawjson import UNREADABLE, Fields

_T = TypeVar("_T")
_NULL = b"null"

_text = msgspec.json.Decoder(str)
_objects = msgspec.json.Decoder(list[Fields])
_object = msgspec.json.Decoder(Fields)


class WrongField(msgspec.ValidationError):
    """A value of another kind than the protocol has in its place."""

    def __init__(self, field: str, mend: str) -> None:
        super().__init__(f"`{field}` {mend}")
        self.field = field
        self.mend = mend

    def within(self, path: str) -> "WrongField":
        """The same, seen from further out."""
        return WrongField(f"{path}.{self.field}" if self.field else path, self.mend)


def is_null(value: msgspec.Raw | None) -> bool:
    """True where a key is absent or null. Megabytes are not copied for it."""
    if value is None:
        return True
    view = memoryview(value)
    return len(view) == 4 and view == _NULL


def text_at(fields: Fields, key: str, default: str | None = None) -> str:
    """A string; `default` where it is absent or null, or `WrongField` where there is none."""
    value = fields.get(key)
    if value is None or is_null(value):
        if default is None:
            raise WrongField(key, "is missing; it must be a string.")
        return default
    try:
        return _text.decode(value)
    except UNREADABLE as error:
        raise WrongField(key, "must be a string.") from error


def take_text(fields: Fields, key: str, default: str | None = None) -> str:
    """The same, taken out."""
    text = text_at(fields, key, default)
    fields.pop(key, None)
    return text


def take_objects(fields: Fields, key: str) -> list[Fields]:
    """A list of objects; [] where it is absent or null."""
    value = fields.pop(key, None)
    if value is None or is_null(value):
        return []
    return objects(value, key)


def objects(value: msgspec.Raw | bytes, field: str) -> list[Fields]:
    try:
        return _objects.decode(value)
    except UNREADABLE as error:
        raise WrongField(field, "must be a list of objects.") from error


def take_object(fields: Fields, key: str) -> Fields | None:
    """An object; None where it is absent or null."""
    value = fields.pop(key, None)
    if value is None or is_null(value):
        return None
    try:
        return _object.decode(value)
    except UNREADABLE as error:
        raise WrongField(key, "must be an object.") from error


def take(fields: Fields, key: str, kind: type[_T], default: _T) -> _T:
    """A value of a simple kind; `default` where it is absent or null."""
    value = fields.pop(key, None)
    if value is None or is_null(value):
        return default
    try:
        return msgspec.json.decode(value, type=kind)
    except UNREADABLE as error:
        raise WrongField(key, f"must be of the type {kind.__name__}.") from error


def take_flag(fields: Fields, key: str) -> bool | None:
    """True, false, or unsaid."""
    value = fields.pop(key, None)
    if value is None or is_null(value):
        return None
    try:
        return msgspec.json.decode(value, type=bool)
    except UNREADABLE as error:
        raise WrongField(key, "must be true or false.") from error


def drop(fields: Fields, keys: Iterable[str]) -> None:
    for key in keys:
        fields.pop(key, None)


def drop_nulls(fields: Fields) -> Fields:
    return {key: value for key, value in fields.items() if not is_null(value)}


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
