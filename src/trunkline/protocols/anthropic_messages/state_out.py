"""Canonical parts -> blocks of an answer to a Messages client, with the state of other vendors sealed where the client brings it back.

In: whole parts, `AnswerContext`. Out: blocks. Of a caller who asked for thinking, state is in `signature` and in redacted blocks; of one
who did not, behind the id of the next tool call, since he expects no blocks of thinking and drops what he does not know.
"""

from typing import Any, Literal

import msgspec

from trunkline.ir.parts import Carry, Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.ir.request import Request
from trunkline.protocols.anthropic_messages import NAME
from trunkline.protocols.anthropic_messages.blocks_out import Block, write_citation
from trunkline.protocols.carry import Kept, carried, seal, store
from trunkline.protocols.codec import AnswerContext, own_id
from trunkline.protocols.tools import as_object

Shows = Literal["text", "state", "nothing"]
_WEB_SEARCH = "web_search"


class StateOut:
    """Makes the blocks of one answer. Lives as long as it: hidden parts wait for the call that takes them along."""

    __slots__ = ("_context", "_hidden", "shows")

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._hidden: list[Thinking | Opaque] = []
        self.shows: Shows = _shows(context.request)

    def blocks(self, part: Part, number: int) -> list[Block]:
        """The blocks of a whole part; none where it is hidden. `number` makes an id for a call that has none."""
        if isinstance(part, Text):
            return self._text(part)
        if isinstance(part, Refusal):
            return [{"type": "text", "text": part.text}] if part.text else []
        if isinstance(part, ToolCall):
            return [{**self.call(part, number), "input": as_object(part.arguments)}]
        if isinstance(part, Thinking):
            return self._thinking(part)
        if isinstance(part, ToolResult):
            return self._result(part)
        return self._opaque(part) if isinstance(part, Opaque) else _media(part)

    def before_text(self, carry: Carry | None) -> Block | None:
        """The slot for what another vendor needs back with a text."""
        if carry is None or is_own(carry) or self.shows == "nothing":
            return None
        return self._redacted(Kept(carry=carry, place="next"))

    def call(self, part: ToolCall, number: int) -> Block:
        """A call without its arguments. Its id takes along what is hidden, and what its own vendor needs back with it."""
        kind = "server_tool_use" if part.kind == "server" else "tool_use"
        block: Block = {"type": kind, "id": self._call_id(part, number), "name": part.name, "input": {}}
        return {**block, **own_fields(part.carry)}

    def signature(self, part: Thinking) -> dict[str, Any]:
        """What stands beside the text of a whole thinking block: the provider's own signature, or one of ours around its state."""
        own = own_fields(part.carry)
        if own:
            return own
        if self.shows == "state" and part.text:
            return {"signature": self._seal(Kept(before=(part,), place="next"))}
        return {"signature": self._seal(Kept(carry=part.carry))}

    def _call_id(self, part: ToolCall, number: int) -> str:
        foreign = None if part.carry is None or is_own(part.carry) else part.carry
        call_id = part.id or own_id("toolu_", self._context.request_id, number)
        if foreign is None and not self._hidden and not (part.kind == "server" and part.carry is None):
            return call_id
        kept = Kept(before=tuple(self._hidden), carry=foreign, id=call_id)
        self._hidden.clear()
        return store(kept, self._context.secret, self._context.keep)

    def _text(self, part: Text) -> list[Block]:
        before = self.before_text(part.carry)
        blocks = [] if before is None else [before]
        if not part.text:
            return blocks
        block: Block = {"type": "text", "text": part.text}
        if part.citations:
            block["citations"] = [write_citation(one) for one in part.citations]
        return [*blocks, {**block, **own_fields(part.carry)}]

    def _thinking(self, part: Thinking) -> list[Block]:
        if self.shows == "nothing":
            self._hidden.append(part)
            return []
        if part.redacted:
            own = own_fields(part.carry)
            return [{"type": "redacted_thinking", **own}] if own else [self._redacted(Kept(carry=part.carry))]
        text = part.text if self.shows == "text" else ""
        return [{"type": "thinking", "thinking": text, **self.signature(part)}]

    def _result(self, part: ToolResult) -> list[Block]:
        own = own_fields(part.carry)
        block: Block = {"type": "web_search_tool_result", "tool_use_id": part.call_id}
        if own:
            return [{**block, **own}]
        if part.name not in ("", _WEB_SEARCH):
            return []
        sealed = self._seal(Kept(carry=part.carry)) if part.carry is not None else ""
        found = [
            {
                "type": "web_search_result",
                "url": one.url,
                "title": one.title,
                "encrypted_content": "" if at else sealed,
                "page_age": None,
            }
            for at, one in enumerate(part.sources)
        ]
        return [{**block, "content": found}]

    def _opaque(self, part: Opaque) -> list[Block]:
        own = own_fields(part.carry)
        if own:
            return [own]
        if self.shows == "nothing":
            self._hidden.append(part)
            return []
        return [self._redacted(Kept(before=(part,), place="next"))]

    def _redacted(self, kept: Kept) -> Block:
        return {"type": "redacted_thinking", "data": self._seal(kept)}

    def _seal(self, kept: Kept) -> str:
        return seal(kept, self._context.secret)


def is_own(carry: Carry) -> bool:
    """Anthropic's own, wherever it is served. That of a vendor who only speaks its protocol is sealed, so that it goes back to that vendor."""
    return carry.origin == NAME


def own_fields(carry: Carry | None) -> Block:
    """What goes out plainly."""
    return dict(carried(carry, NAME, "")) if carry is not None and is_own(carry) else {}


def _shows(request: Request) -> Shows:
    asked = request.reasoning
    if asked is None or asked.enabled is not True:
        return "nothing"
    return "state" if asked.shown is False else "text"


def _media(part: Media) -> list[Block]:
    """A picture that the model made. The protocol's answers have none, but its requests do, and clients keep blocks that they do not know."""
    kind = "image" if part.kind == "image" else "document"
    if part.data is None:
        return [{"type": kind, "source": {"type": "url", "url": part.url}}] if part.url else []
    return [{"type": kind, "source": {"type": "base64", "media_type": part.mime, "data": _string(part.data)}}]


def _string(data: memoryview | bytes) -> msgspec.Raw:
    return msgspec.Raw(b"".join((b'"', data, b'"')))
