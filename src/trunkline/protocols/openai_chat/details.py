"""`reasoning_details`: OpenRouter's slot for reasoning that must come back (https://openrouter.ai/docs/guides/best-practices/reasoning-tokens), and ours.

In: details that a client or provider wrote; hidden parts and carries of other protocols. Out: canonical thinking; details that keep these sealed.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from trunkline.ir.parts import Carry, Opaque, Part, Thinking, ToolCall, ToolResult
from trunkline.protocols.carry import SEALED, Kept, put_before, seal, store, understands, unseal
from trunkline.protocols.codec import MESSAGES, AnswerContext
from trunkline.protocols.openai_chat import NAME

Detail = dict[str, Any]

_TEXTS = ("text", "summary")
_PIECES = ("text", "summary", "data")
_ENCRYPTED = "reasoning.encrypted"


class Returned(msgspec.Struct):
    """What a client gave back in the details of one message."""

    own: list[Detail]
    """The provider's: they go on as they are."""
    calls: dict[str, Carry]
    """Id of a tool call -> the carry that was taken off it."""
    text: Carry | None = None
    """Of the message's text."""
    sealed: bool = False


def unsealed(details: Iterable[Detail], parts: list[Part], secret: bytes) -> Returned:
    """Put hidden parts that we sealed into `parts`, and sort the rest."""
    found = Returned([], {})
    for detail in details:
        data = detail.get("data")
        kept = unseal(data, secret) if isinstance(data, str) and data.startswith(SEALED) else None
        if kept is None:
            found.own.append(detail)
            continue
        found.sealed = True
        put_before(parts, kept)
        call_id = detail.get("id")
        if kept.carry is not None and isinstance(call_id, str):
            found.calls[call_id] = kept.carry
        elif kept.carry is not None:
            found.text = kept.carry
    return found


def text_of(details: Iterable[Detail]) -> str:
    """What is shown of the reasoning in them."""
    return "".join(text for detail in details for name in _TEXTS if isinstance(text := detail.get(name), str))


def add(details: list[Detail], pieces: Iterable[Detail]) -> None:
    """Pieces of a stream, put together: texts grow, all else comes once. Those of one `index` and type are one detail."""
    for piece in pieces:
        whole = _same(details, piece)
        if whole is None:
            details.append(dict(piece))
            continue
        for name, value in piece.items():
            before = whole.get(name)
            if name in _PIECES and isinstance(before, str) and isinstance(value, str):
                whole[name] = before + value
            elif value is not None:
                whole[name] = value


def _same(details: list[Detail], piece: Detail) -> Detail | None:
    """The detail that a piece goes on with: the one of its index, else the last of its type; encrypted ones without an index are whole."""
    index, kind = piece.get("index"), piece.get("type")
    if index is not None:
        return next((one for one in details if one.get("index") == index and one.get("type") == kind), None)
    last = details[-1] if details and kind != _ENCRYPTED else None
    return last if last is not None and last.get("type") == kind and last.get("id") == piece.get("id") else None


def carry_of(details: Sequence[Detail], origin: str) -> Carry:
    return Carry(origin, msgspec.Raw(msgspec.json.encode({"reasoning_details": details})))


def in_carry(carry: Carry | None) -> list[Detail]:
    """The details in a carry of ours; none where it is another's."""
    if carry is None or not understands(carry, NAME, ""):
        return []
    found: Any = msgspec.json.decode(carry.data).get("reasoning_details")
    return found if isinstance(found, list) else []


class Slots:
    """Hidden state of one candidate on its way to the caller: what is sealed into details, and what is kept behind the ids of calls.

    Both, since most clients keep tool calls alone. Details are numbered, as accumulators of streams need it.
    """

    __slots__ = ("_before", "_context", "_count")

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._before: list[Thinking | Opaque | ToolCall | ToolResult] = []
        self._count = 0

    def plain(self, part: Thinking) -> list[Detail]:
        """Details that are Chat's own, for a whole answer. In a stream their text would be shown a second time."""
        own = in_carry(part.carry)
        if own:
            self._before.append(part)
        return [self._numbered(detail) for detail in own]

    def hidden(self, part: Thinking | Opaque | ToolCall | ToolResult) -> list[Detail]:
        """Details of a part that has ended: none if nothing of it has to come back."""
        if part.carry is None:
            return []
        self._before.append(part)
        return [self._sealed(Kept(before=(part,)))]

    def searched(self, part: ToolCall | ToolResult) -> list[Detail]:
        """Of a call that the provider ran, or its result. Anthropic alone wants these back: what was found is in them, encrypted.

        https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool#response
        """
        return self.hidden(part) if part.carry is not None and understands(part.carry, MESSAGES, "") else []

    def beside(self, carry: Carry, call_id: str = "") -> list[Detail]:
        """The detail for the carry of a text, or of a call that the caller knows as `call_id`."""
        return [self._sealed(Kept(carry=carry, place="next"), call_id)]

    def call_id(self, call: ToolCall) -> str:
        """The id under which the caller gets a call: the provider's, or one of ours if there is something to keep."""
        carry = call.carry if call.carry is not None and not understands(call.carry, NAME, "") else None
        if carry is None and not self._before:
            return call.id
        kept = Kept(before=tuple(self._before), carry=carry, id=call.id)
        self._before = []
        return store(kept, self._context.secret, self._context.keep)

    def _sealed(self, kept: Kept, call_id: str = "") -> Detail:
        detail: Detail = {"type": _ENCRYPTED, "data": seal(kept, self._context.secret), "format": "unknown"}
        return self._numbered({**detail, "id": call_id} if call_id else detail)

    def _numbered(self, detail: Detail) -> Detail:
        self._count += 1
        return {**detail, "index": self._count - 1}
