"""Tools where they have no like: namespaces joined to names, free text wrapped into a function, names and ids in an alphabet of the vendor's.

In: canonical tools, calls and events. Out: what the target can be told, and the caller's own form again.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from trunkline.ir.events import Delta, Event, PartStart
from trunkline.ir.parts import Part, ToolCall
from trunkline.ir.request import Request, Tool
from trunkline.ir.response import Response
from trunkline.protocols.codec import GEMINI
from trunkline.protocols.rawjson import UNREADABLE

_replace = msgspec.structs.replace

_SEPARATOR = "__"
_TEXT_ARGUMENT = "input"
_WRAPPED_SCHEMA = msgspec.Raw(
    b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}'
)
_OPENING = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_MAY_OPEN = re.compile(r'\s*(?:\{\s*(?:"(?:i(?:n(?:p(?:u(?:t(?:"(?:\s*(?::\s*)?)?)?)?)?)?)?)?)?)?')
"""The beginning of an opening."""
# Characters and whole escapes of a JSON string. The first half of a surrogate pair waits for what follows it.
_DECIDED = re.compile(
    r"""(?:[^\\"]|\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}"""
    r"""|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?=[^\\]|\\[^u])))*"""
)
_NO_ARGUMENTS = msgspec.Raw(b"{}")
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_WORDS = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NINE = re.compile(r"[a-zA-Z0-9]{9}")
# https://ai.google.dev/api/caching#FunctionDeclaration: a letter or an underscore first, 64 at most; whether colons are taken differs by version.
_GOOGLES_NAMES = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,63}")
_TAKEN_BY_ALL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")
_OTHER_LETTERS = re.compile(r"[^a-zA-Z0-9_-]")
_KEPT = 54
"""Letters of a name that had to change; with what is put around it, it has 64 at most."""


def qualified(namespace: str, name: str) -> str:
    """One name for a tool in a namespace, e.g. `files__read`."""
    return f"{namespace}{_SEPARATOR}{name}" if namespace else name


def fit_name(name: str, protocol: str) -> str:
    """A name that the protocol takes: of Gemini it may have dots, of the others none. The same name always becomes the same, and no other does."""
    taken = _GOOGLES_NAMES if protocol == GEMINI else _WORDS
    return name if taken.fullmatch(name) or not name else _taken_by_all(name)


def _taken_by_all(name: str) -> str:
    """The reader of a history, and the model, can still tell what it was; the digest keeps `a.b` and `a:b` apart."""
    plain = _OTHER_LETTERS.sub("_", name[:_KEPT])
    first = "" if plain[0].isalpha() or plain[0] == "_" else "_"
    return f"{first}{plain}_{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def wrapped(tool: Tool) -> Tool:
    """A custom tool as a function. Its grammar, if it has one, goes into the description, so that the model can keep to it."""
    return Tool(name=tool.name, description=_described(tool), parameters=_WRAPPED_SCHEMA, cache=tool.cache)


def wrapped_call(call: ToolCall) -> ToolCall:
    """An earlier call of a custom tool as that of its function."""
    arguments = msgspec.json.encode({_TEXT_ARGUMENT: call.arguments}).decode()
    return _replace(call, kind="function", arguments=arguments)


def fit_id(call_id: str, alphabet: Literal["any", "words", "nine"]) -> str:
    """An id that the vendor takes; the same for a call and its result. Ids that fit stay as they are."""
    if alphabet == "any" or (alphabet == "words" and _WORDS.fullmatch(call_id)):
        return call_id
    digest = hashlib.sha256(call_id.encode()).hexdigest()
    if alphabet == "words":
        return f"call_{digest[:24]}"
    return call_id if _NINE.fullmatch(call_id) else digest[:9]


def as_object(arguments: str) -> msgspec.Raw:
    """Arguments for a wire that has them as an object: as they are if they are one; none are `{}`, broken ones stand under `arguments`."""
    if not arguments.strip():
        return _NO_ARGUMENTS
    try:
        _object_decoder.decode(arguments)
    except UNREADABLE:
        return msgspec.Raw(msgspec.json.encode({"arguments": arguments}))
    return msgspec.Raw(arguments)


def is_whole(arguments: str) -> bool:
    """True where no more of the arguments can come: how a reader knows the end of one call when the next begins."""
    try:
        _object_decoder.decode(arguments)
    except UNREADABLE:
        return False
    return True


class Unwrap:
    """Turns the arguments of a wrapped custom tool back into its text while they come. Lives as long as its call.

    The arguments are JSON `{"input": "..."}` cut anywhere; every piece is handed on as far as it is decided. What is no such thing is the
    model's own mistake, and handed on as it is.
    """

    __slots__ = ("_begun", "_held", "_plain")

    def __init__(self) -> None:
        self._held = ""
        self._begun = False
        self._plain = False

    def feed(self, piece: str) -> str:
        """The text that this piece adds."""
        if self._plain:
            return piece
        self._held += piece
        if not self._begun:
            opening = _OPENING.match(self._held)
            if opening is None and _MAY_OPEN.fullmatch(self._held):
                return ""
            if opening is None:
                self._plain = True
                return self._held
            self._begun, self._held = True, self._held[opening.end() :]
        found = _DECIDED.match(self._held)
        assert found is not None  # it matches nothing, too, and does so from the closing quote on
        text, self._held = found[0], self._held[found.end() :]
        return _unescaped(text)


class Restore:
    """Gives tool calls back the form in which the caller knows its tools. Lives as long as a stream; see `restorer`."""

    __slots__ = ("_custom", "_names", "_unwraps")

    def __init__(self, custom: frozenset[str], names: Mapping[str, tuple[str, str]]) -> None:
        self._custom = custom
        self._names = names
        self._unwraps: dict[int, Unwrap] = {}

    def feed(self, event: Event) -> Event | None:
        """The event as the caller shall see it; None where nothing of it is decided yet."""
        if isinstance(event, PartStart) and isinstance(event.part, ToolCall):
            call = self._named(event.part)
            if self._is_wrapped(call):
                self._unwraps[event.index] = Unwrap()
                call = _replace(call, kind="custom")
            return event if call is event.part else PartStart(event.index, call, event.choice)
        if isinstance(event, Delta) and event.index in self._unwraps:
            text = self._unwraps[event.index].feed(event.text)
            return Delta(event.index, text) if text else None
        return event

    def response(self, response: Response) -> Response:
        """The same for a whole answer."""
        candidates = tuple(
            _replace(candidate, parts=tuple(self._part(part) for part in candidate.parts))
            for candidate in response.candidates
        )
        return _replace(response, candidates=candidates)

    def _part(self, part: Part) -> Part:
        if not isinstance(part, ToolCall):
            return part
        call = self._named(part)
        if self._is_wrapped(call):
            return _replace(call, kind="custom", arguments=unwrapped(call.arguments))
        return call

    def _named(self, call: ToolCall) -> ToolCall:
        known = self._names.get(call.name)
        return call if known is None else _replace(call, namespace=known[0], name=known[1])

    def _is_wrapped(self, call: ToolCall) -> bool:
        return call.kind == "function" and call.name in self._custom


def restorer(request: Request) -> Restore | None:
    """What the answer's tool calls have to go through on their way to the caller of `request`; None, as nearly always, where they need not."""
    custom = frozenset(tool.name for tool in request.tools if tool.kind == "custom")
    renamed: dict[str, tuple[str, str]] = {}
    for tool in request.tools:
        full = qualified(tool.namespace, tool.name)
        if tool.namespace:
            renamed[full] = (tool.namespace, tool.name)
        if full and not _TAKEN_BY_ALL.fullmatch(full):
            # Not for every target, but then nothing has this name.
            renamed[_taken_by_all(full)] = (tool.namespace, tool.name)
    return Restore(custom, renamed) if custom or renamed else None


def unwrapped(arguments: str) -> str:
    """The text in whole arguments of a wrapped tool; the arguments themselves where they are no such thing."""
    try:
        return msgspec.json.decode(arguments, type=dict[str, str])[_TEXT_ARGUMENT]
    except (*UNREADABLE, KeyError):
        return arguments


def _described(tool: Tool) -> str:
    if tool.carry is None or b'"definition"' not in bytes(tool.carry.data):
        return tool.description
    return f"{tool.description}\n\nThe input must keep to this format: {bytes(tool.carry.data).decode()}"


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    try:
        return msgspec.json.decode(f'"{text}"', type=str)
    except UNREADABLE:
        return text  # the model's own mistake, for the caller to see
