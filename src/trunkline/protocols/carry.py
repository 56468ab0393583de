"""State that one protocol's answer needs back, through a client of another: sealed into an opaque slot, or kept in a store under a tool call's id.

In: `Kept` (hidden parts and carries) and the account's secret. Out: text for the slot, and `Kept` again if the text is ours and untouched.
A slot is Anthropic's `signature` and redacted `data`, Responses' `encrypted_content`, Gemini's `thoughtSignature`, Chat's `reasoning_details`.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import msgspec

from trunkline.ir.parts import Carry, Citation, Opaque, Part, Thinking, ToolCall, ToolResult
from trunkline.protocols.rawjson import Fields, join, split

SEALED = "tl1e"
"""Begins what is sealed. These are four characters of base64 in either alphabet, because Google's SDKs take `thoughtSignature` for base64, decode it
and encode it again in the other one (https://ai.google.dev/api/caching#Part); for the same reason the whole is never padded with `=`."""
STORED = "tl1s"
"""Begins the id of a tool call whose `Kept` is in the store."""

_MAC_BYTES = 12
_KEY_BYTES = 18
_STORED_ID = re.compile(rb'"(tl1s[A-Za-z0-9_-]{24})"')
_NO_FIELDS: Fields = {}


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a client's protocol has no place for. All of it belongs in the assistant turn where the slot or the call stands."""

    before: tuple[Thinking | Opaque | ToolCall | ToolResult, ...] = ()
    """Whole parts that stood right before the part that bears the slot, where the client returns no such parts."""
    carry: Carry | None = None
    """Of a part; which one, says `place`."""
    place: Literal["self", "next"] = "self"
    """`self`: the part that bears the slot. `next`: the one after it; the slot's own part was made for the purpose and is left out."""
    id: str = ""
    """The provider's id of the call, where the client got one of ours."""


NOTHING = Kept()


class StateStore(Protocol):
    """Keeps bytes by key for as long as a conversation may rest. `keep` never waits; the same key always has the same bytes."""

    def keep(self, key: str, data: bytes) -> None: ...

    async def find(self, keys: tuple[str, ...]) -> Mapping[str, bytes]: ...


class _Result(msgspec.Struct, tag="ToolResult"):
    """A `ToolResult` of what the provider ran, as it was encoded: such have no parts, whose views cannot be decoded."""

    call_id: str
    name: str = ""
    is_error: bool = False
    sources: tuple[Citation, ...] = ()
    carry: Carry | None = None


class _Read(msgspec.Struct):
    """`Kept`, as it was encoded."""

    before: tuple[Thinking | Opaque | ToolCall | _Result, ...] = ()
    carry: Carry | None = None
    place: Literal["self", "next"] = "self"
    id: str = ""


_decoder = msgspec.json.Decoder(_Read)


def seal(kept: Kept, secret: bytes) -> str:
    """Text for an opaque slot: standard base64, a multiple of four characters long."""
    data = _padded(msgspec.json.encode(kept))
    return SEALED + base64.b64encode(_mac(secret, data)[:_MAC_BYTES] + data).decode()


def unseal(text: str, secret: bytes) -> Kept | None:
    """What was sealed; None for what is not ours: it is the provider's own and goes on as it is.

    What is ours but changed, or of another account or secret, is an empty `Kept`: no provider could make anything of it.
    """
    if not text.startswith(SEALED):
        return None
    try:
        sealed = base64.b64decode(text[len(SEALED) :].encode().translate(_STANDARD), validate=True)
    except (binascii.Error, ValueError):
        return NOTHING
    mac, data = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(secret, data)[:_MAC_BYTES]):
        return NOTHING
    return _kept(data)


def store(kept: Kept, secret: bytes, keep: Callable[[str, bytes], None]) -> str:
    """An id for a tool call, 28 characters of [A-Za-z0-9_-]; `kept` goes to `keep` under it. Give `kept.id`, or two calls share one id."""
    data = msgspec.json.encode(kept)
    key = _key(secret, data)
    keep(key, data)
    return key


def stored_ids(body: bytes) -> tuple[str, ...]:
    """The ids in a request's body that may be ours: what `StateStore.find` is to be asked for before `read_request`."""
    if b'"tl1s' not in body:
        return ()
    return tuple(dict.fromkeys(found.decode() for found in _STORED_ID.findall(body)))


def recall(call_id: str, states: Mapping[str, bytes], secret: bytes) -> Kept | None:
    """What was kept under the id of a tool call; None where the id is not ours or the state is lost: then the id stays as it is."""
    data = states.get(call_id)
    if data is None or not hmac.compare_digest(call_id, _key(secret, data)):
        return None
    return _kept(data)


def _kept(data: bytes) -> Kept:
    found = _decoder.decode(data)
    return Kept(tuple(map(_part, found.before)), found.carry, found.place, found.id)


def _part(part: Thinking | Opaque | ToolCall | _Result) -> Thinking | Opaque | ToolCall | ToolResult:
    if not isinstance(part, _Result):
        return part
    return ToolResult(
        part.call_id, part.name, is_error=part.is_error, sources=part.sources, kind="server", carry=part.carry
    )


def put_before(parts: list[Part], kept: Kept) -> None:
    """Add `kept.before` to a turn that is being read. A client may have returned some of it by other ways as well: the kept one is whole, so it stays alone."""
    for hidden in kept.before:
        if hidden in parts:
            continue
        if isinstance(hidden, Thinking):
            parts[:] = [part for part in parts if not (isinstance(part, Thinking) and _is_shadow(part, hidden))]
        parts.append(hidden)


def _is_shadow(part: Thinking, hidden: Thinking) -> bool:
    return part.carry is None and (part.text == hidden.text or not part.text)


def carry(origin: str, fields: Mapping[str, msgspec.Raw]) -> Carry | None:
    """The keys of a wire part that have no canonical place; None where there are none."""
    return Carry(origin, msgspec.Raw(join(dict(fields)))) if fields else None


def carried(carry: Carry | None, protocol: str, dialect: str) -> Fields:
    """The keys to put back into a part on its way to `protocol`; none where the carry is of another origin."""
    return split(bytes(carry.data)) if carry is not None and understands(carry, protocol, dialect) else _NO_FIELDS


def understands(carry: Carry, protocol: str, dialect: str) -> bool:
    """A dialect on one side only is no hindrance: clients do not say whose signature they return."""
    origin, _, its_dialect = carry.origin.partition("/")
    return origin == protocol and (not its_dialect or not dialect or its_dialect == dialect)


def origin(protocol: str, dialect: str) -> str:
    """The word for `Carry.origin`."""
    return f"{protocol}/{dialect}" if dialect else protocol


_STANDARD = bytes.maketrans(b"-_", b"+/")


def _padded(data: bytes) -> bytes:
    """JSON does not mind blanks at its end, and without `=` the two alphabets are the only difference that there can be."""
    return data + b" " * (-len(data) % 3)


def _mac(secret: bytes, data: bytes) -> bytes:
    return hmac.digest(secret, SEALED.encode() + data, "sha256")


def _key(secret: bytes, data: bytes) -> str:
    digest = hmac.digest(secret, STORED.encode() + data, "sha256")[:_KEY_BYTES]
    return STORED + base64.urlsafe_b64encode(digest).decode()
