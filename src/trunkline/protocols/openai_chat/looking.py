"""Typed looks at the keys of a caller's JSON object. In: the object, taken apart. Out: values, one by one; `InvalidParams` naming the field."""

from typing import TypeVar

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.parts import CacheMark, Carry
from trunkline.protocols.openai_chat import NAME
from trunkline.protocols.rawjson import UNREADABLE, Fields, join

T = TypeVar("T")

TEXT = msgspec.json.Decoder(str)
FLAG = msgspec.json.Decoder(bool)
INTEGER = msgspec.json.Decoder(int)
NUMBER = msgspec.json.Decoder(float)
OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_TTLS_S = {"5m": 300, "1h": 3600}


class Keys:
    """The keys of one object. Each is taken out once; what is `left` in the end has no canonical place, and is its carry."""

    __slots__ = ("left", "where")

    def __init__(self, fields: Fields, where: str = "") -> None:
        self.left = fields
        self.where = where

    def raw(self, name: str) -> msgspec.Raw | None:
        """A value as it came; None where it is absent or null."""
        value = self.left.pop(name, None)
        return None if value is None or is_null(value) else value

    def take(self, name: str, decoder: "msgspec.json.Decoder[T]") -> T | None:
        value = self.raw(name)
        return None if value is None else self.decoded(name, value, decoder)

    def text(self, name: str) -> str:
        """A string; empty where it is absent or null."""
        value = self.raw(name)
        return "" if value is None else self.decoded(name, value, TEXT)

    def flag(self, name: str) -> bool:
        """A boolean; false where it is absent or null."""
        value = self.raw(name)
        return value is not None and self.decoded(name, value, FLAG)

    def below(self, name: str) -> "Keys | None":
        """The keys of an object that stands in this one."""
        found = self.take(name, OBJECT)
        return None if found is None else Keys(found, self.name(name))

    def decoded(self, name: str, value: msgspec.Raw, decoder: "msgspec.json.Decoder[T]") -> T:
        try:
            return decoder.decode(value)
        except UNREADABLE as error:
            raise self.wrong(name, f"{error}") from error

    def name(self, name: str) -> str:
        """A key as the caller would look for it, e.g. `messages[2].content`."""
        return f"{self.where}.{name}" if self.where and name else self.where or name

    def wrong(self, name: str, why_and_mend: str) -> InvalidParams:
        field = self.name(name)
        return InvalidParams(f"`{field}` is not right: {why_and_mend}.", param=field)

    def cache(self) -> CacheMark | None:
        """`cache_control` of Anthropic, which OpenRouter and others take in Chat too (https://openrouter.ai/docs/features/prompt-caching)."""
        mark = self.below("cache_control")
        return None if mark is None else CacheMark(_TTLS_S.get(mark.text("ttl"), 300))

    def carry(self, **nested: "Keys | None") -> Carry | None:
        """What is left, with what is left in the objects that were taken out of it."""
        for name, keys in nested.items():
            if keys is not None and keys.left:
                self.left[name] = msgspec.Raw(join(keys.left))
        return Carry(NAME, msgspec.Raw(join(self.left))) if self.left else None


def is_null(value: msgspec.Raw) -> bool:
    return len(value) == 4 and bytes(value) == b"null"


def begins(value: msgspec.Raw) -> str:
    """The first character, which tells the kind of a JSON value without a copy of it."""
    return chr(memoryview(value)[0])
