"""Content blocks of an answer of Converse -> canonical parts. In: the raw blocks. Out: parts; what is not known becomes `Opaque`.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
"""

import msgspec

from trunkline.ir.parts import Carry, Citation, Media, Opaque, Part, Text, Thinking, ToolCall
from trunkline.protocols.media import base64_of
from trunkline.protocols.rawjson import Fields, is_null, raw


class Source(msgspec.Struct):
    text: str = ""


class WebLocation(msgspec.Struct):
    url: str = ""


class Location(msgspec.Struct):
    web: WebLocation | None = None


class Cited(msgspec.Struct, rename="camel"):
    title: str = ""
    source: str = ""
    source_content: list[Source] = []
    location: Location | None = None


class ReasoningText(msgspec.Struct):
    text: str = ""
    signature: str = ""


class Reasoning(msgspec.Struct, rename="camel"):
    reasoning_text: ReasoningText | None = None
    redacted_content: str = ""


class ToolUse(msgspec.Struct, rename="camel"):
    tool_use_id: str
    name: str
    input: msgspec.Raw = msgspec.Raw(b"{}")
    type: str = ""


class _ImageSource(msgspec.Struct):
    bytes: msgspec.Raw = msgspec.Raw(b"null")


class _Image(msgspec.Struct):
    format: str = "png"
    source: _ImageSource | None = None


class _Citations(msgspec.Struct):
    content: list[Source] = []
    citations: list[Cited] = []


class Block(msgspec.Struct, rename="camel"):
    """A union: one of these, or one that is not known."""

    text: str | None = None
    reasoning_content: Reasoning | None = None
    tool_use: ToolUse | None = None
    image: _Image | None = None
    citations_content: _Citations | None = None


_block = msgspec.json.Decoder(Block)
_fields = msgspec.json.Decoder(Fields)


def read_block(data: msgspec.Raw, named: str) -> Part | None:
    """The part; None for one that is empty. `named` is the origin of its carry."""
    block = _block.decode(data)
    if block.text is not None:
        return Text(block.text) if block.text else None
    if block.reasoning_content is not None:
        return _reasoning(block.reasoning_content, named)
    if block.tool_use is not None and not block.tool_use.type:
        call = block.tool_use
        return ToolCall(call.tool_use_id, call.name, bytes(call.input).decode())
    if block.image is not None and block.image.source is not None and not is_null(block.image.source.bytes):
        return Media(kind="image", mime=f"image/{block.image.format}", data=base64_of(block.image.source.bytes))
    if block.citations_content is not None:
        found = block.citations_content
        text = "".join(one.text for one in found.content)
        return Text(text, citations=tuple(map(citation, found.citations))) if text else None
    kind = next(iter(_fields.decode(data)), "")
    return Opaque(kind, Carry(named, data)) if kind else None


def citation(found: Cited) -> Citation:
    """A source: on the web where it has an address, else by its title."""
    url = found.location.web.url if found.location is not None and found.location.web is not None else ""
    quote = "".join(one.text for one in found.source_content)
    return Citation(url=url or found.source, title=found.title, quote=quote)


def signed(signature: str, named: str) -> Carry | None:
    """What a reasoning text was signed with."""
    return Carry(named, raw({"signature": signature})) if signature else None


def redacted(content: str, named: str) -> Thinking:
    """Reasoning that only its maker can read."""
    return Thinking(redacted=True, carry=Carry(named, raw({"redactedContent": content})))


def _reasoning(found: Reasoning, named: str) -> Thinking | None:
    if found.redacted_content:
        return redacted(found.redacted_content, named)
    if found.reasoning_text is None:
        return None
    return Thinking(found.reasoning_text.text, carry=signed(found.reasoning_text.signature, named))
