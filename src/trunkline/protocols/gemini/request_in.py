"""Requests, read. In: the body of `generateContent` or `streamGenerateContent`, the model and the kind of call from its path. Out: the canonical request.

Both spellings of every key are taken, single objects where lists are meant, and whatever is not known is kept for Google
(https://ai.google.dev/api/generate-content#method:-models.generatecontent). Raises `InvalidParams` naming field and mend.
"""

from typing import Any

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.parts import Role, Turn
from trunkline.ir.request import Request
from trunkline.protocols.beside import Beside
from trunkline.protocols.carry import carry
from trunkline.protocols.codec import RequestContext
from trunkline.protocols.gemini.config_in import read_config, read_tool_config, read_tools
from trunkline.protocols.gemini.names import NAME
from trunkline.protocols.gemini.parts_in import HistoryReader
from trunkline.protocols.gemini.usual_in import usual_turns
from trunkline.protocols.gemini.wire import (
    NULL,
    TEXT,
    camel,
    invalid,
    objects_of,
    spelled,
    take,
    take_object,
    take_objects,
)
from trunkline.protocols.rawjson import UNREADABLE, Fields, split
from trunkline.protocols.wishes import GATEWAY_KEYS

_ROLES: dict[str | None, Role] = {
    None: "user", "": "user", "user": "user", "model": "assistant", "assistant": "assistant",
    "function": "user", "tool": "user", "system": "system",
}  # fmt: skip
CONVERSATION = frozenset({"contents", "systemInstruction", "system_instruction"})
_FOR_US = frozenset(map(camel, GATEWAY_KEYS))
_TIERS = {"standard": "default", "unspecified": "", "flex": "flex", "priority": "priority"}


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    """What nearly every content looks like. Anything else is read the slow way."""

    role: str | None = None
    parts: list[Fields] = []


_contents = msgspec.json.Decoder(list[_Content])


def read_request(body: bytes, context: RequestContext) -> Request:
    """The request in canonical form."""
    peeked = context.peeked
    fields = keys(body) if peeked is None else peeked.fields
    turns = usual_turns(fields) if peeked is None else peeked.turns
    if turns is None:
        return request_of(dict(spelled(fields)), context)
    return msgspec.structs.replace(beside(fields, context), turns=turns)


def beside(fields: Fields, context: RequestContext) -> Request:
    """All but the conversation of a request, from the top level as it came."""
    return _beside.of(fields, context.path_model, context.path_stream)


def top_level(body: bytes) -> Fields:
    """The keys of a body, in camelCase."""
    return spelled(keys(body))


def keys(body: bytes) -> Fields:
    """The keys of a body, as they came."""
    try:
        return split(body)
    except UNREADABLE:
        raise InvalidParams("The body must be a JSON object with `contents`.") from None


def request_of(fields: Fields, context: RequestContext) -> Request:
    """The same from keys that were taken apart. They are used up."""
    history = HistoryReader(context.secret)
    system = _system(fields, history)
    turns = system + _turns(fields.pop("contents", NULL), history)
    if not turns:
        raise invalid("contents", 'a list with at least one content: `[{"role": "user", "parts": [{"text": "..."}]}]`')
    request = request_without_contents(fields, context.path_model, context.path_stream)
    return msgspec.structs.replace(request, turns=turns)


def request_without_contents(fields: Fields, path_model: str, path_stream: bool) -> Request:
    """All but the conversation."""
    fields = spelled(fields)
    said: dict[str, Any] = {}
    extras: Fields = {}
    config = take_object(fields, "generationConfig", "")
    if config is not None:
        read_config(config, said, extras)
    if (tools := fields.pop("tools", NULL)) != NULL:
        read_tools(tools, said)
    choice = take_object(fields, "toolConfig", "")
    if choice is not None:
        read_tool_config(choice, said, extras)
    tier = (take(fields, "serviceTier", TEXT, "") or "").lower()
    model = take(fields, "model", TEXT, "") or ""
    extras |= {key: value for key, value in fields.items() if value != NULL and key not in _FOR_US}
    return Request(
        origin=NAME,
        model=model_name(path_model or model),
        turns=(),
        service_tier=_TIERS.get(tier, tier),
        stream=path_stream,
        extras=extras,
        **said,
    )


_beside = Beside(CONVERSATION, request_without_contents)


def model_name(path: str) -> str:
    """The name in a resource path: `models/x` is `x`, `publishers/p/models/x` is `p/x` (google-genai writes these)."""
    if path.startswith("publishers/"):
        publisher, _, name = path.removeprefix("publishers/").partition("/models/")
        return f"{publisher}/{name}" if name else path
    return path.removeprefix("models/")


def _system(fields: Fields, history: HistoryReader) -> tuple[Turn, ...]:
    raw = fields.pop("systemInstruction", NULL)
    if raw == NULL:
        return ()
    if memoryview(raw)[0] == ord('"'):
        raw = msgspec.Raw(b'{"parts":[{"text":%b}]}' % bytes(raw))
    content = take_object({"systemInstruction": raw}, "systemInstruction", "") or {}
    parts = history.parts(take_objects(content, "parts", "systemInstruction."), "systemInstruction.parts")
    # Its role says nothing, but some send one.
    return (Turn("system", parts, carry=carry(NAME, content)),) if parts else ()


def _turns(raw: msgspec.Raw, history: HistoryReader) -> tuple[Turn, ...]:
    try:
        contents = _contents.decode(raw)
    except UNREADABLE:
        return _unusual_turns(raw, history)
    turns: list[Turn] = []
    for at, content in enumerate(contents):
        _add(turns, Turn(_role(content.role, at), ()), content.parts, history, f"contents[{at}].parts")
    return tuple(turns)


def _add(turns: list[Turn], turn: Turn, wire: list[Fields], history: HistoryReader, where: str) -> None:
    """One more content. Contents of the model that follow each other are pieces of one answer."""
    last = turns[-1] if turns else None
    if last is not None and last.role == turn.role == "assistant" and last.carry is None and turn.carry is None:
        turns[-1] = msgspec.structs.replace(last, parts=history.more_parts(last.parts, wire, where))
    else:
        turns.append(msgspec.structs.replace(turn, parts=history.parts(wire, where)))


def _unusual_turns(raw: msgspec.Raw, history: HistoryReader) -> tuple[Turn, ...]:
    """Contents with keys that are not known, one alone, or something wrong."""
    turns: list[Turn] = []
    for at, content in enumerate(objects_of(raw, "contents")):
        where = f"contents[{at}]."
        role = _role(take(content, "role", TEXT, where), at)
        wire = take_objects(content, "parts", where)
        _add(turns, Turn(role, (), carry=carry(NAME, content)), wire, history, f"{where}parts")
    return tuple(turns)


def _role(role: str | None, at: int) -> Role:
    known = _ROLES.get(role)
    if known is None:
        raise invalid(f"contents[{at}].role", "`user` or `model`")
    return known
