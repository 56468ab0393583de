"""Pieces of an answer that stand in a whole one and in a stream alike. In: canonical parts. Out: wire objects."""

from collections.abc import Sequence
from typing import Any

import msgspec

from trunkline.ir.parts import Carry, Citation, Logprob, Media, ToolCall
from trunkline.protocols.carry import carried
from trunkline.protocols.openai_chat import NAME
from trunkline.protocols.openai_chat.parts_out import Wire, merged
from trunkline.protocols.tools import qualified

TIERS = frozenset({"auto", "default", "flex", "scale", "priority"})
"""https://platform.openai.com/docs/api-reference/chat/object"""


def annotation(cited: Citation, offset: int, length: int) -> Wire:
    """`offset` and `length` are those of the cited text in the message's content, in characters.

    https://platform.openai.com/docs/api-reference/chat/object; `content` is OpenRouter's (https://openrouter.ai/docs/features/web-search).
    """
    own = carried(cited.carry, NAME, "")
    if own and not cited.url:
        return merged({}, own)
    whole = cited.start is None or cited.end is None
    place = {
        "start_index": offset if cited.start is None else offset + cited.start,
        "end_index": offset + length if whole or cited.end is None else offset + cited.end,
    }
    quote = {"content": cited.quote} if cited.quote else {}
    return {"type": "url_citation", "url_citation": {"url": cited.url, "title": cited.title, **place, **quote}}


def logprobs(found: Sequence[Logprob]) -> list[Wire]:
    return [{**_probable(one), "top_logprobs": [_probable(top) for top in one.top]} for one in found]


def _probable(one: Logprob) -> Wire:
    return {"token": one.token, "logprob": one.logprob, "bytes": one.bytes}


def call(found: ToolCall, call_id: str, arguments: str) -> Wire:
    """A tool call as the caller gets it."""
    name = qualified(found.namespace, found.name)
    if found.kind == "custom":
        written: Wire = {"id": call_id, "type": "custom", "custom": {"name": name, "input": arguments}}
    else:
        written = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return merged(written, own(found.carry))


def own(carry: Carry | None) -> dict[str, msgspec.Raw]:
    return carried(carry, NAME, "")


def is_foreign(carry: Carry | None) -> bool:
    """Whether it has to be sealed: the caller's protocol has no place for its keys."""
    return carry is not None and carry.origin.partition("/")[0] != NAME


def image(part: Media) -> Wire:
    """https://openrouter.ai/docs/features/multimodal/image-generation: the one place for images that clients of Chat know."""
    url = part.url or f"data:{part.mime or 'image/png'};base64,{_base64(part)}"
    return {"type": "image_url", "image_url": {"url": url}}


def sound(part: Media, request_id: str, created_s: int) -> Wire:
    """https://platform.openai.com/docs/api-reference/chat/object"""
    said: Wire = {"id": f"audio_{request_id}", "expires_at": created_s, "transcript": "", "data": _base64(part)}
    return {**said, **own(part.carry)}


def _base64(part: Media) -> str:
    return bytes(part.data or b"").decode()


def tier(found: str) -> dict[str, Any]:
    """The tier that served, if OpenAI has a word for it."""
    word = "default" if found in ("standard", "on_demand") else found
    return {"service_tier": word} if word in TIERS else {}
