"""Parts as items and content parts of Responses. In: one canonical part, and the keys that its own carry brings back. Out: a wire object.

Used by requests and answers alike. https://developers.openai.com/api/reference/resources/responses/methods/create
"""

from typing import Any

import msgspec

from trunkline.ir.parts import Citation, Logprob, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from trunkline.protocols.carry import carried
from trunkline.protocols.codec import RESPONSES
from trunkline.protocols.media import Blobs
from trunkline.protocols.openai_responses.items_in import CONTENT
from trunkline.protocols.rawjson import UNREADABLE, Fields

Wire = dict[str, Any]
_FILE_NAMES = {"application/pdf": "document.pdf", "text/plain": "document.txt"}


def message_keys(part: Text | Refusal, dialect: str) -> tuple[Fields, Fields]:
    """What the part's carry says of its message (id, status, phase), and of the content part itself."""
    own = dict(carried(part.carry, RESPONSES, dialect))
    inner = own.pop(CONTENT, None)
    return own, msgspec.json.decode(inner, type=Fields) if inner is not None else {}


def output_text(part: Text, inner: Fields, dialect: str) -> Wire:
    """A text of the model. `annotations` may not be missing."""
    wire: Wire = {"type": "output_text", "text": part.text, "annotations": annotations(part, dialect)}
    if part.logprobs:
        wire["logprobs"] = [logprob(one) for one in part.logprobs]
    return {**wire, **inner}


def annotations(part: Text, dialect: str) -> list[Wire]:
    return [annotation(one, len(part.text), dialect) for one in part.citations]


def annotation(citation: Citation, text_length: int, dialect: str) -> Wire:
    """The range of a citation without one is the whole text."""
    own = carried(citation.carry, RESPONSES, dialect)
    if "type" in own:
        return dict(own)
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title,
        "start_index": citation.start if citation.start is not None else 0,
        "end_index": citation.end if citation.end is not None else text_length,
        **own,
    }


def logprob(one: Logprob) -> Wire:
    # In whole items `bytes` may not be missing: https://developers.openai.com/api/reference/resources/responses/methods/create
    return {**_plain(one), "top_logprobs": [_plain(other) for other in one.top]}


def _plain(one: Logprob) -> Wire:
    return {
        "token": one.token,
        "logprob": one.logprob,
        "bytes": one.bytes if one.bytes is not None else list(one.token.encode()),
    }


def refusal(part: Refusal, inner: Fields) -> Wire:
    return {"type": "refusal", "refusal": part.text, **inner}


def input_text(part: Text, own: Fields) -> Wire:
    return {"type": "input_text", "text": part.text, **own}


def media(part: Media, own: Fields, blobs: Blobs) -> Wire:
    if part.kind == "image":
        return {"type": "input_image", "detail": part.detail or "auto", **_image(part, blobs), **own}
    if part.kind == "audio" and part.data is not None:
        return {
            "type": "input_audio",
            "input_audio": {"data": blobs.put(part.data), "format": part.mime.rpartition("/")[2]},
            **own,
        }
    return {"type": "input_file", **_file(part, blobs), **own}


def _image(part: Media, blobs: Blobs) -> Wire:
    if part.file_id:
        return {"file_id": part.file_id}
    if part.data is None:
        return {"image_url": part.url}
    return {"image_url": blobs.put(part.data, f"data:{part.mime or 'image/png'};base64,".encode())}


def _file(part: Media, blobs: Blobs) -> Wire:
    named: Wire = {"filename": part.name} if part.name else {}
    if part.file_id:
        return {**named, "file_id": part.file_id}
    if part.data is None:
        return {**named, "file_url": part.url}
    # A name is required beside content: https://developers.openai.com/api/docs/guides/file-inputs
    name = part.name or _FILE_NAMES.get(part.mime, "document")
    before = f"data:{part.mime};base64,".encode() if part.mime else b""
    return {"filename": name, "file_data": blobs.put(part.data, before)}


def reasoning(part: Thinking, own: Fields) -> Wire:
    """A reasoning item. Of one without a carry the text is all there is, in the place that open models' servers read."""
    own = dict(own)
    content = own.pop(CONTENT, None)
    wire: Wire = {"type": "reasoning", "summary": []}
    if content is not None and bytes(content) != b"true":
        wire[CONTENT] = content
    elif content is not None or not own:
        wire[CONTENT] = [{"type": "reasoning_text", "text": part.text}] if part.text else []
    elif part.text:
        wire["summary"] = [{"type": "summary_text", "text": part.text}]
    return {**wire, **own}


def tool_call(part: ToolCall, own: Fields) -> Wire:
    kind, slot = ("custom_tool_call", "input") if part.kind == "custom" else ("function_call", "arguments")
    wire: Wire = {"type": kind, "call_id": part.id, "name": part.name, slot: part.arguments}
    if part.namespace:
        wire["namespace"] = part.namespace
    return {**wire, **own}


def tool_result(part: ToolResult, own: Fields, dialect: str, blobs: Blobs) -> Wire:
    kind = "custom_tool_call_output" if part.kind == "custom" else "function_call_output"
    return {"type": kind, "call_id": part.call_id, "output": _output(part, dialect, blobs), **own}


def _output(part: ToolResult, dialect: str, blobs: Blobs) -> str | list[Wire]:
    if not part.parts:
        return ""
    first = part.parts[0]
    if len(part.parts) == 1 and isinstance(first, Text) and not carried(first.carry, RESPONSES, dialect):
        return first.text
    return [content(inner, dialect, blobs) for inner in part.parts]


def content(part: Text | Media | Opaque, dialect: str, blobs: Blobs) -> Wire:
    """A content part of a message that is not the model's, or of a tool's output."""
    own = carried(part.carry, RESPONSES, dialect)
    if isinstance(part, Text):
        return input_text(part, own)
    return media(part, own, blobs) if isinstance(part, Media) else dict(own)


def web_search(arguments: str, sources: tuple[Citation, ...]) -> Wire:
    """The `action` of a search that another vendor ran. https://developers.openai.com/api/docs/guides/tools-web-search"""
    try:
        said = msgspec.json.decode(arguments or "{}", type=dict[str, Any])
    except UNREADABLE:
        said = {}
    if isinstance(said.get("url"), str) and "query" not in said:
        return {"type": "open_page", "url": said["url"]}
    queries = [query for query in (said.get("queries") or [said.get("query")]) if isinstance(query, str)]
    action: Wire = {"type": "search", "query": queries[0] if queries else "", "queries": queries}
    urls = dict.fromkeys(source.url for source in sources if source.url)
    if urls:
        action["sources"] = [{"type": "url", "url": url} for url in urls]
    return action
