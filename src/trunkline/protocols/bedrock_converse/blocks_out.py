"""Canonical parts -> content blocks of a request to Converse. In: settled parts. Out: blocks to be encoded; large media are marks of `Blobs`.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
"""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from trunkline.errors import InvalidParams
from trunkline.ir.parts import CacheMark, Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.protocols.bedrock_converse import NAME
from trunkline.protocols.carry import carried
from trunkline.protocols.media import Blobs
from trunkline.protocols.tools import as_object

Block = dict[str, Any]

# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ImageBlock.html
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_IMAGE_HEADS = (("iVBORw", "png"), ("/9j/", "jpeg"), ("R0lGOD", "gif"), ("UklGR", "webp"))
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_DOCUMENT_HEADS = (("JVBERi", "pdf"),)
_PLAIN = frozenset({"application/json", "application/xml", "application/yaml", "application/javascript"})
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_VideoBlock.html
_VIDEOS = {
    "video/x-matroska": "mkv",
    "video/quicktime": "mov",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}
_FORMATS: Mapping[str, Mapping[str, str]] = {"image": _IMAGES, "file": _DOCUMENTS, "video": _VIDEOS}
_HEADS = {"image": _IMAGE_HEADS, "file": _DOCUMENT_HEADS}
_WORDS = {"image": "image", "file": "document", "video": "video"}
_NO_NAME = re.compile(r"[^A-Za-z0-9()\[\]-]+")
_NAME_LETTERS = 190
"""Of 200; a number may have to follow."""
_LONG_TTL_S = 3600


class BlockWriter:
    """Writes the blocks of one body. Lives as long as that; its `blobs` fill the body at the end."""

    __slots__ = ("_dialect", "_names", "blobs")

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._names: set[str] = set()
        self.blobs = Blobs()

    def blocks(self, parts: Iterable[Part]) -> list[Block]:
        """A block for each part, with a cache point behind those that are marked."""
        found: list[Block] = []
        for part in parts:
            found.append(_WRITE[type(part)](self, part))
            mark = part.cache or _inner_mark(part)
            if mark is not None:
                found.append(cache_point(mark))
        return found

    def _text(self, part: Text | Refusal) -> Block:
        return {"text": part.text}

    def _media(self, part: Media) -> Block:
        form = _format(part)
        data = base64.b64encode(part.text.encode()) if part.data is None else part.data
        media: Block = {"format": form, "source": {"bytes": self.blobs.put(data)}}
        if part.kind == "file":
            media["name"] = self._name(part.name)
            if part.citations:
                media["citations"] = {"enabled": True}
        return {_WORDS[part.kind]: media}

    def _name(self, given: str) -> str:
        """A name in the letters that a document's may have, and of no other document's."""
        plain = _NO_NAME.sub(" ", given).strip()[:_NAME_LETTERS] or "document"
        name, number = plain, 1
        while name in self._names:
            number += 1
            name = f"{plain} {number}"
        self._names.add(name)
        return name

    def _thinking(self, part: Thinking) -> Block:
        kept = carried(part.carry, NAME, self._dialect)
        if "redactedContent" in kept:
            return {"reasoningContent": kept}
        return {"reasoningContent": {"reasoningText": {"text": part.text, **kept}}}

    def _tool_call(self, part: ToolCall) -> Block:
        return {"toolUse": {"toolUseId": part.id, "name": part.name, "input": as_object(part.arguments)}}

    def _tool_result(self, part: ToolResult) -> Block:
        # Marks stand behind the result.
        content = [block for block in self.blocks(part.parts) if "cachePoint" not in block]
        result: Block = {"toolUseId": part.call_id, "content": content}
        if part.is_error:
            result["status"] = "error"
        return {"toolResult": result}

    def _opaque(self, part: Opaque) -> Block:
        return dict(carried(part.carry, NAME, self._dialect))


def cache_point(mark: CacheMark) -> Block:
    """The shorter life where it is enough: not all models know the longer one (https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html)."""
    point = {"type": "default"}
    if mark.ttl_s >= _LONG_TTL_S:
        point["ttl"] = "1h"
    return {"cachePoint": point}


def _inner_mark(part: Part) -> CacheMark | None:
    if not isinstance(part, ToolResult):
        return None
    return next((inner.cache for inner in reversed(part.parts) if inner.cache is not None), None)


def _format(part: Media) -> str:
    if part.text:
        return "txt"
    mime = part.mime.partition(";")[0].strip().lower()
    formats = _FORMATS[part.kind]
    extension = part.name.rpartition(".")[2].lower()
    head = bytes(part.data[:8]).decode("latin-1") if part.data is not None else ""
    found = formats.get(mime) or next((form for start, form in _HEADS.get(part.kind, ()) if head.startswith(start)), "")
    if not found and extension in formats.values():
        found = extension
    if not found and part.kind == "file" and (mime.startswith("text/") or mime in _PLAIN):
        found = "txt"
    if not found:
        what = f"`{part.name}` ({part.mime})" if part.name else f"{part.kind} of type `{part.mime}`"
        raise InvalidParams(
            f"{what} cannot be sent to this offer: it takes {', '.join(dict.fromkeys(formats.values()))}; convert it.",
            param="messages",
        )
    return found


_WRITE: Mapping[type, Callable[[BlockWriter, Any], Block]] = {
    Text: BlockWriter._text,
    Refusal: BlockWriter._text,
    Media: BlockWriter._media,
    Thinking: BlockWriter._thinking,
    ToolCall: BlockWriter._tool_call,
    ToolResult: BlockWriter._tool_result,
    Opaque: BlockWriter._opaque,
}
