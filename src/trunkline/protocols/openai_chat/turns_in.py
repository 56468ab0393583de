"""The messages of a caller, as turns. In: the value of `messages`. Out: a turn for each; state that we sealed or stored is back in its place.

A `tool` message is a user turn with one result. Messages of legacy functions have no ids, so these are counted: `call_{n}`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.parts import Carry, Citation, Media, Part, Refusal, Role, Text, Thinking, ToolCall, ToolResult, Turn
from trunkline.protocols.carry import put_before, recall
from trunkline.protocols.codec import RequestContext
from trunkline.protocols.openai_chat import NAME
from trunkline.protocols.openai_chat.details import carry_of, text_of, unsealed
from trunkline.protocols.openai_chat.looking import OBJECTS, TEXT, Keys, begins, is_null
from trunkline.protocols.openai_chat.parts_in import read_content
from trunkline.protocols.openai_chat.usual_in import usual_turns
from trunkline.protocols.rawjson import UNREADABLE, Fields

_replace = msgspec.structs.replace
_details = msgspec.json.Decoder(list[dict[str, Any]])
_ROLES = "one of `system`, `developer`, `user`, `assistant`, `tool`"
_CALLS = "a list of calls such as {'id': 'call_1', 'type': 'function', 'function': {'name': '...', 'arguments': '{}'}}"


class _Called(msgspec.Struct, frozen=True):
    """What a result must know of its call."""

    id: str
    """As the provider knows it."""
    name: str
    kind: Any


def read_turns(messages: msgspec.Raw, context: RequestContext) -> tuple[Turn, ...]:
    """Raises `InvalidParams` naming the message and the key that is wrong."""
    usual = usual_turns(messages)
    if usual is not None:
        return usual
    found = Keys({}).decoded("messages", messages, OBJECTS)
    reading = _Reading(context)
    return tuple(reading.turn(Keys(message, f"messages[{at}]")) for at, message in enumerate(found))


_SPEAKERS: Mapping[bytes, Role] = {
    b'"user"': "user",
    b'"assistant"': "assistant",
    b'"system"': "system",
    b'"developer"': "developer",
}


def _of_one_text(message: Fields) -> Turn | None:
    """The turn of a message that has a role and a text and nothing else, as most have; None for any other, which is read key by key."""
    if len(message) != 2 or "role" not in message or "content" not in message:
        return None
    role, content = _SPEAKERS.get(bytes(message["role"])), message["content"]
    if role is None or begins(content) != '"':
        return None
    try:
        text = TEXT.decode(content)
    except UNREADABLE:
        return None  # to be told with its field's name
    return Turn(role, (Text(text),) if text else ())


class _Reading:
    """The calls of a conversation, while its messages are read: results refer to them."""

    __slots__ = ("_called", "_context", "_count", "_unanswered")

    def __init__(self, context: RequestContext) -> None:
        self._context = context
        self._called: dict[str, _Called] = {}
        """The id that the caller knows -> the call."""
        self._count = 0
        self._unanswered: dict[str, list[str]] = {}
        """Name of a legacy function -> ids of its calls that have no result yet."""

    def turn(self, message: Keys) -> Turn:
        if (plain := _of_one_text(message.left)) is not None:
            return plain
        role = message.text("role")
        read = _READ.get(role)
        if read is None:
            raise message.wrong("role", f"it must be {_ROLES}")
        return read(self, message)

    def plain(self, message: Keys, role: Role) -> Turn:
        parts, name = tuple(read_content(message)), message.text("name")
        return Turn(role, parts, name, message.carry())

    def assistant(self, message: Keys) -> Turn:
        thoughts: list[Part] = []
        off_calls, off_text = _read_thinking(message, thoughts, self._context.secret)
        content = _annotated(message, _with_carry(read_content(message), off_text))
        refusal, audio = message.text("refusal"), message.below("audio")
        if refusal:
            content.append(Refusal(refusal))
        if audio is not None:
            content.append(Media(kind="audio", file_id=audio.text("id")))
        calls: list[Part] = []
        for call in message.take("tool_calls", OBJECTS) or ():
            self._call(Keys(call, message.name("tool_calls")), thoughts, calls, off_calls)
        self._legacy_call(message, calls)
        return Turn("assistant", (*thoughts, *content, *calls), message.text("name"), message.carry())

    def result(self, message: Keys) -> Turn:
        call_id = message.text("tool_call_id")
        if not call_id:
            raise message.wrong("tool_call_id", "it must be the `id` of the call whose result this is")
        name = message.text("name")
        called = self._called.get(call_id) or _Called(call_id, name, "function")
        return self._result(message, called, name or called.name)

    def legacy_result(self, message: Keys) -> Turn:
        name = message.text("name")
        waiting = self._unanswered.get(name)
        if not waiting:
            raise message.wrong("name", "it must be the name of a function that was called before")
        return self._result(message, self._called[waiting.pop(0)], name)

    def _result(self, message: Keys, called: _Called, name: str) -> Turn:
        parts: tuple[Any, ...] = tuple(read_content(message))
        cache = message.cache()
        result = ToolResult(called.id, name, parts, kind=called.kind, carry=message.carry(), cache=cache)
        return Turn("user", (result,))

    def _call(self, keys: Keys, thoughts: list[Part], calls: list[Part], off_calls: Mapping[str, Carry]) -> None:
        """Add a call, and what was kept under its id: before the first call it goes to the `thoughts`.

        Anthropic wants thinking at the beginning of a turn, before its text, which Chat cannot tell from the place of a call
        (https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks).
        """
        given = keys.text("id")
        call = self._read_call(given, keys, off_calls)
        kept = recall(given, self._context.states, self._context.secret) if given else None
        if kept is not None:
            before = tuple(part for part in kept.before if part not in thoughts)
            put_before(calls if calls else thoughts, _replace(kept, before=before))
            call = _replace(call, id=kept.id or call.id, carry=kept.carry or call.carry)
        self._called[given or call.id] = _Called(call.id, call.name, call.kind)
        calls.append(call)

    def _read_call(self, given: str, keys: Keys, off_calls: Mapping[str, Carry]) -> ToolCall:
        kind, inner = keys.text("type"), keys.below("function")
        custom = keys.below("custom") if inner is None else None
        said = custom or inner
        if said is None:
            raise keys.wrong(kind or "function", f"`tool_calls` is {_CALLS}")
        keys.left.pop("index", None)
        self._count += 1
        call_id, name = given or f"call_{self._count - 1}", said.text("name")
        if custom is not None:
            text = custom.text("input")
            return ToolCall(call_id, name, text, "custom", carry=off_calls.get(given) or keys.carry(custom=custom))
        arguments = _arguments(said)
        return ToolCall(call_id, name, arguments, carry=off_calls.get(given) or keys.carry(function=inner))

    def _legacy_call(self, message: Keys, parts: list[Part]) -> None:
        """https://platform.openai.com/docs/api-reference/chat/create#chat_create-functions"""
        called = message.below("function_call")
        if called is None:
            return
        call = ToolCall(f"call_{self._count}", called.text("name"), _arguments(called))
        self._count += 1
        self._called[call.id] = _Called(call.id, call.name, "function")
        self._unanswered.setdefault(call.name, []).append(call.id)
        parts.append(call)


_READ: Mapping[str, Callable[[_Reading, Keys], Turn]] = {
    "system": partial(_Reading.plain, role="system"),
    "developer": partial(_Reading.plain, role="developer"),
    "user": partial(_Reading.plain, role="user"),
    "assistant": _Reading.assistant,
    "tool": _Reading.result,
    "function": _Reading.legacy_result,
}


def _arguments(keys: Keys) -> str:
    """A string by the reference; some clients put the object itself there."""
    value = keys.raw("arguments")
    if value is None:
        return ""
    return keys.decoded("arguments", value, TEXT) if begins(value) == '"' else bytes(value).decode()


def _read_thinking(message: Keys, parts: list[Part], secret: bytes) -> tuple[Mapping[str, Carry], Carry | None]:
    """Add the reasoning of a message. Given back are carries of its calls and of its text."""
    details = message.take("reasoning_details", _details)
    shown = _shown(message)
    if not details:
        if shown:
            parts.append(Thinking(shown))
        return {}, None
    returned = unsealed(details, parts, secret)
    if returned.own:
        text = ("" if returned.sealed else shown) or text_of(returned.own)
        parts.append(Thinking(text, redacted=not text, carry=carry_of(returned.own, NAME)))
    elif shown and not returned.sealed:
        parts.append(Thinking(shown))
    return returned.calls, returned.text


def _shown(message: Keys) -> str:
    """Both words may be there, with the same text: https://api-docs.deepseek.com/guides/thinking_mode, https://console.groq.com/docs/reasoning"""
    first, second = (_reasoning(message, name) for name in ("reasoning_content", "reasoning"))
    return first or second


def _reasoning(message: Keys, name: str) -> str:
    value = message.left.get(name)
    if value is None or is_null(value) or begins(value) == '"':
        return message.text(name)
    return ""  # another's meaning of the word: it stays where it is, and becomes part of the carry


def _with_carry(parts: list[Part], carry: Carry | None) -> list[Part]:
    """A carry that was taken off the text of an answer; without a text it had an empty one."""
    if carry is None:
        return parts
    at = next((at for at, part in enumerate(parts) if isinstance(part, Text)), None)
    if at is None:
        return [*parts, Text("", carry=carry)]
    parts[at] = _replace(parts[at], carry=carry)
    return parts


class _Url(msgspec.Struct):
    url: str = ""
    title: str | None = ""
    content: str | None = ""
    start_index: int | None = None
    end_index: int | None = None


class _Annotation(msgspec.Struct):
    type: str = ""
    url_citation: _Url | None = None


_annotations = msgspec.json.Decoder(list[msgspec.Raw])
_annotation = msgspec.json.Decoder(_Annotation)


def citation(value: msgspec.Raw, origin: str) -> Citation:
    """One of `annotations`: a URL (https://platform.openai.com/docs/api-reference/chat/object), with OpenRouter's `content`; else only its origin knows it."""
    found = _annotation.decode(value).url_citation
    if found is None:
        return Citation(carry=Carry(origin, msgspec.Raw(bytes(value))))
    return Citation(
        url=found.url, title=found.title or "", quote=found.content or "", start=found.start_index, end=found.end_index
    )


def _annotated(message: Keys, parts: list[Part]) -> list[Part]:
    """The annotations of a message belong to its text; they have no other place."""
    found = message.take("annotations", _annotations)
    at = next((at for at, part in enumerate(parts) if isinstance(part, Text)), None)
    if found and at is not None:
        try:
            citations = tuple(citation(value, NAME) for value in found)
        except msgspec.DecodeError as error:
            raise message.wrong("annotations", f"{error}") from error
        parts[at] = _replace(parts[at], citations=citations)
    return parts


def require_messages(messages: msgspec.Raw | None) -> msgspec.Raw:
    if messages is None or begins(messages) != "[" or (len(messages) < 64 and not bytes(messages)[1:-1].strip()):
        raise InvalidParams("`messages` must be a list with at least one message.", param="messages")
    return messages
