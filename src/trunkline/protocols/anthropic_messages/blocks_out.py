"""Canonical parts -> content blocks of a request to Anthropic. In: settled parts. Out: blocks to be encoded; large media are marks of `Blobs`."""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from trunkline.errors import InvalidParams
from trunkline.ir.parts import Citation, Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.protocols.anthropic_messages import NAME
from trunkline.protocols.anthropic_messages.wire import cache_control
from trunkline.protocols.carry import carried
from trunkline.protocols.media import Blobs
from trunkline.protocols.tools import as_object

Block = dict[str, Any]

# The beginnings of base64 of each kind (https://platform.claude.com/docs/en/build-with-claude/vision#basic-usage names the four).
_IMAGE_HEADS = (("iVBORw", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp"))
_PDF, _PDF_HEAD = "application/pdf", "JVBERi"
_TEXT_MIMES = frozenset(
    {"application/json", "application/xml", "application/yaml", "application/javascript", "application/x-sh"}
)


class BlockWriter:
    """Writes the blocks of one body. Lives as long as that; its `blobs` fill the body at the end."""

    __slots__ = ("_dialect", "blobs")

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self.blobs = Blobs()

    def blocks(self, parts: Iterable[Part]) -> list[Block]:
        """One block for each part."""
        return [self.block(part) for part in parts]

    def block(self, part: Part) -> Block:
        """A block with the mark for the cache, and with what only Anthropic knows of it."""
        block = _WRITE[type(part)](self, part)
        if part.cache is not None:
            block["cache_control"] = cache_control(part.cache)
        if part.carry is not None:
            block.update(carried(part.carry, NAME, self._dialect))
        return block

    def _text(self, part: Text) -> Block:
        if not part.citations:
            return {"type": "text", "text": part.text}
        return {"type": "text", "text": part.text, "citations": [write_citation(one) for one in part.citations]}

    def _refusal(self, part: Refusal) -> Block:
        return {"type": "text", "text": part.text}

    def _media(self, part: Media) -> Block:
        if part.kind == "image":
            return {"type": "image", "source": self._source(part, "")}
        block: Block = {"type": "document", "source": self._source(part, part.name)}
        if part.name:
            block["title"] = part.name
        if part.citations:
            block["citations"] = {"enabled": True}
        return block

    def _source(self, part: Media, name: str) -> Block:
        if part.data is not None:
            return self._data(part, part.data, name)
        if part.url:
            return {"type": "url", "url": part.url}
        if part.file_id:
            return {"type": "file", "file_id": part.file_id}
        return {"type": "text", "media_type": "text/plain", "data": part.text}

    def _data(self, part: Media, data: memoryview | bytes, name: str) -> Block:
        mime = _mime(part, bytes(data[:8]).decode("latin-1"))
        if part.kind != "image" and mime != _PDF:
            return _text_source(data, mime, name)
        return {"type": "base64", "media_type": mime, "data": self.blobs.put(data)}

    def _thinking(self, part: Thinking) -> Block:
        if part.redacted:
            return {"type": "redacted_thinking"}
        return {"type": "thinking", "thinking": part.text, "signature": ""}

    def _tool_call(self, part: ToolCall) -> Block:
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": as_object(part.arguments)}

    def _tool_result(self, part: ToolResult) -> Block:
        block: Block = {"type": "tool_result", "tool_use_id": part.call_id}
        if part.kind == "server":
            return block  # the rest is in its carry
        if len(part.parts) == 1 and _is_plain(part.parts[0]):
            block["content"] = part.parts[0].text  # type: ignore[union-attr]
        elif part.parts:
            block["content"] = self.blocks(part.parts)
        if part.is_error:
            block["is_error"] = True
        return block

    def _opaque(self, _part: Opaque) -> Block:
        return {}


def write_citation(citation: Citation) -> Any:
    """Anthropic's own as it came; another's as a place on the web, marked by an empty `encrypted_index` as none of Anthropic's."""
    if citation.carry is not None and citation.carry.origin.startswith(NAME):
        return citation.carry.data
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title or None,
        "cited_text": citation.quote,
        "encrypted_index": "",
    }


def plain_or_blocks(writer: BlockWriter, parts: Iterable[Part]) -> str | list[Block]:
    """Content as a text where one text is all of it, which is how nearly everybody writes it."""
    found = tuple(parts)
    if len(found) == 1 and isinstance(found[0], Text) and _is_plain(found[0]):
        return found[0].text
    return writer.blocks(found)


def _is_plain(part: Any) -> bool:
    return isinstance(part, Text) and not part.citations and part.carry is None and part.cache is None


def _mime(part: Media, head: str) -> str:
    if part.kind == "image":
        guessed = next((mime for start, mime in _IMAGE_HEADS if head.startswith(start)), "image/png")
        return {"": guessed, "image/jpg": "image/jpeg", "image/*": guessed}.get(part.mime, part.mime)
    if head.startswith(_PDF_HEAD):
        return _PDF
    return part.mime or (_PDF if not part.name or part.name.lower().endswith(".pdf") else "text/plain")


def _text_source(data: memoryview | bytes, mime: str, name: str) -> Block:
    """A text file as text; base64 is for PDF alone (https://platform.claude.com/docs/en/build-with-claude/files#file-types-and-content-blocks)."""
    if mime.startswith("text/") or mime in _TEXT_MIMES or mime.endswith(("+json", "+xml")):
        try:
            return {"type": "text", "media_type": "text/plain", "data": base64.b64decode(data).decode()}
        except (binascii.Error, ValueError):
            pass
    what = f"`{name}` ({mime})" if name else f"a file of type `{mime}`"
    raise InvalidParams(
        f"{what} cannot be sent to this offer: it takes PDF and text; convert it, or send its text.", param="messages"
    )


_WRITE: Mapping[type, Callable[[BlockWriter, Any], Block]] = {
    Text: BlockWriter._text,
    Refusal: BlockWriter._refusal,
    Media: BlockWriter._media,
    Thinking: BlockWriter._thinking,
    ToolCall: BlockWriter._tool_call,
    ToolResult: BlockWriter._tool_result,
    Opaque: BlockWriter._opaque,
}
