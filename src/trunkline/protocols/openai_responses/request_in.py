"""A Responses request, read. In: the caller's body, and what the store recalled. Out: the canonical request.

https://developers.openai.com/api/reference/resources/responses/methods/create. What stored responses add is in `stored`.
"""

import re
from collections.abc import Mapping

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.parts import Part, Role, Text, Turn
from trunkline.ir.request import ANY_OBJECT, Format, Reasoning, Request, ToolChoice
from trunkline.protocols.beside import Beside
from trunkline.protocols.codec import RESPONSES, RequestContext
from trunkline.protocols.openai_responses.items_in import Reading, opaque, read_content, read_item, read_output
from trunkline.protocols.openai_responses.tools_in import has_added_tools, read_tools
from trunkline.protocols.openai_responses.usual_in import usual_turns
from trunkline.protocols.openai_responses.wire import WrongField, drop_nulls, is_null, objects, raw, take_text, text_at
from trunkline.protocols.rawjson import UNREADABLE, Fields, join, split
from trunkline.protocols.wishes import GATEWAY_KEYS, first_model

_OURS = frozenset({"store", "previous_response_id", "stream_options"})
"""What this gateway does itself: it keeps responses, and it pads no events (`include_obfuscation`)."""
CONVERSATION = frozenset({"input", "instructions", "previous_response_id"})
_LARGE = frozenset({"input", "tools", "instructions"})
_DEFAULTS: Mapping[str, bytes] = {"background": b"false", "truncation": b'"disabled"'}
"""Values that say nothing, so that they are no losses."""
ENCRYPTED, LOGPROBS, SOURCES = (
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
    "web_search_call.action.sources",
)
_ROLES: Mapping[str, Role] = {"user": "user", "system": "system", "developer": "developer", "assistant": "assistant"}
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})
_FAULTY_FIELD = re.compile(r"at `\$\.(\w+)")


class _Effort(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class _Format(msgspec.Struct):
    type: str = "text"
    name: str | None = None
    schema: msgspec.Raw = ANY_OBJECT
    strict: bool | None = None
    description: str | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None
    verbosity: str | None = None


class Asked(msgspec.Struct):
    """The small fields; their types are checked in one go."""

    model: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    parallel_tool_calls: bool | None = None
    include: list[str] | None = None
    reasoning: _Effort | None = None
    text: _Text | None = None
    tool_choice: msgspec.Raw = msgspec.Raw(b"null")
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    previous_response_id: str | None = None


_asked = msgspec.json.Decoder(Asked)
_KNOWN = frozenset(Asked.__struct_fields__) | _LARGE | frozenset(GATEWAY_KEYS) | _OURS


def fields_of(body: bytes) -> Fields:
    """The top level of a body."""
    try:
        return split(body)
    except UNREADABLE as error:
        raise InvalidParams("The body must be a JSON object.") from error


def asked_of(fields: Fields) -> Asked:
    """The small fields of a body, checked."""
    small = {name: value for name, value in fields.items() if name in _KNOWN and name not in _LARGE}
    try:
        return _asked.decode(join(small))
    except UNREADABLE as error:
        found = _FAULTY_FIELD.search(str(error))
        name = found[1] if found else None
        where = f"`{name}`" if name else "The body"
        raise InvalidParams(f"{where} has a value of a wrong type: {error}.", param=name) from error


def read_request(body: bytes, context: RequestContext) -> Request:
    """The request. Raises `InvalidParams` naming the field, e.g. `input[2].content[0].image_url`."""
    fields = fields_of(body) if context.peeked is None else context.peeked.fields
    if is_null(fields.get("input")) and not context.previous and is_null(fields.get("prompt")):
        raise InvalidParams("`input` is missing: give a string, or a list of items.", param="input")
    return read_fields(fields, context)


def read_fields(fields: Fields, context: RequestContext) -> Request:
    """The same, from the top level; `input` may be missing, as where tokens are only counted."""
    request = _read_beside(dict(fields)) if has_added_tools(fields) else _beside.of(fields)
    if "previous_response_id" in fields and not context.previous:
        _refuse_unknown(asked_of(fields).previous_response_id)
    turns = _usual(fields, context)
    if turns is None:
        reading = Reading(RESPONSES, context.secret, context.states)
        turns = (*_instructions(fields), *_Conversation(reading).read(fields, context.previous))
    return msgspec.structs.replace(request, turns=turns)


def _refuse_unknown(previous_response_id: str | None) -> None:
    if previous_response_id:
        why = f"The response `{previous_response_id}` is not stored; send the items of the conversation in `input`."
        raise InvalidParams(why, param="previous_response_id")


def _usual(fields: Fields, context: RequestContext) -> tuple[Turn, ...] | None:
    if context.previous:
        return None
    if context.peeked is not None:
        return context.peeked.turns
    return usual_turns(fields["input"], fields.get("instructions")) if "input" in fields else None


def _read_beside(fields: Fields) -> Request:
    """All but the conversation."""
    asked = asked_of(fields)
    model = asked.model or first_model(fields)
    if not model:
        mend = "name one, for example `openai/o4-mini`. GET /api/v1/models lists them."
        raise InvalidParams(f"`model` is missing: {mend}", param="model")
    tools, web_search = read_tools(fields)
    include = frozenset(asked.include or ())
    extras = _extras(fields, asked)
    return Request(
        origin=RESPONSES,
        model=model,
        turns=(),
        tools=tools,
        tool_choice=_tool_choice(asked.tool_choice, extras),
        parallel_tool_calls=asked.parallel_tool_calls,
        web_search=web_search,
        max_output_tokens=asked.max_output_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        logprobs=True if LOGPROBS in include else None,
        top_logprobs=asked.top_logprobs,
        reasoning=_reasoning(asked.reasoning, include),
        format=_format(asked.text),
        verbosity=(asked.text.verbosity or "") if asked.text else "",
        cache_key=asked.prompt_cache_key or "",
        cache_retention=asked.prompt_cache_retention or "",
        user=asked.user or "",
        safety_identifier=asked.safety_identifier or "",
        metadata=asked.metadata,
        service_tier=asked.service_tier or "",
        stream=bool(asked.stream),
        extras=extras,
    )


_beside = Beside(CONVERSATION, _read_beside)


def _instructions(fields: Fields) -> tuple[Turn, ...]:
    value = fields.get("instructions")
    if value is None or is_null(value):
        return ()
    try:
        text = take_text({"instructions": value}, "instructions")
    except WrongField as error:
        raise InvalidParams(f"`instructions` {error.mend}", param="instructions") from error
    return (Turn("system", (Text(text),)),) if text else ()


class _Conversation:
    """Puts items into turns. Lives while one `input` is read."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._turns: list[Turn] = []
        self._parts: list[Part] = []
        """Of the assistant's turn that is open."""

    def read(self, fields: Fields, previous: bytes) -> list[Turn]:
        if previous:
            self._items(msgspec.Raw(previous), "previous_response_id")
        value = fields.get("input")
        if value is not None and not is_null(value):
            if memoryview(value)[0] == ord('"'):
                self._close()
                text = take_text({"input": value}, "input")
                self._turns.append(Turn("user", (Text(text),) if text else ()))
            else:
                self._items(value, "input")
        self._close()
        return self._turns

    def _items(self, value: msgspec.Raw, field: str) -> None:
        try:
            items = objects(value, field)
        except WrongField as error:
            raise InvalidParams(f"`{field}` must be a string or a list of items.", param=field) from error
        for at, item in enumerate(items):
            path = f"{field}[{at}]"
            try:
                self._item(item, path)
            except WrongField as error:
                wrong = error.within(path)
                raise InvalidParams(f"`{wrong.field}` {wrong.mend}", param=wrong.field) from error
            except UNREADABLE as error:
                raise InvalidParams(f"`{path}` cannot be read: {error}.", param=path) from error

    def _item(self, item: Fields, path: str) -> None:
        kind = text_at(item, "type", "message")
        if kind == "item_reference":
            self._recalled(item, path)
        elif kind == "additional_tools":
            self._close()
        elif kind == "message":
            self._message(item)
        elif kind in _OUTPUTS:
            self._close()
            item.pop("type")
            self._turns.append(Turn("user", (read_output(item, self._reading, kind),)))
        elif _is_users(kind):
            self._close()
            item.pop("type")
            self._turns.append(Turn("user", (opaque(kind, item, RESPONSES),)))
        else:
            read_item(item, self._reading, self._parts)

    def _message(self, item: Fields) -> None:
        role = _ROLES.get(text_at(item, "role", ""))
        if role is None:
            mend = "must be `user`, `assistant`, `system` or `developer`."
            raise WrongField("role", mend)
        if role == "assistant":
            if self._parts and isinstance(self._parts[-1], Text) and is_null(item.get("id")):
                # Nothing else would tell where this message begins.
                self._close()
            read_item(item, self._reading, self._parts)
            return
        self._close()
        item.pop("role")
        item.pop("type", None)
        parts = read_content(item.pop("content", None), self._reading)
        self._turns.append(Turn(role, tuple(parts), carry=self._reading.carry(item)))

    def _recalled(self, item: Fields, path: str) -> None:
        """An item of an earlier answer that is only named: the AI SDK sends such while `store` is on."""
        item_id = take_text(item, "id")
        found = self._reading.states.get(item_id)
        if found is None:
            raise WrongField("id", f"names an item that is not stored, `{item_id}`; send the item itself.")
        self._item(split(found), path)

    def _close(self) -> None:
        self._reading.end_turn(self._parts)
        if self._parts:
            self._turns.append(Turn("assistant", tuple(self._parts)))
            self._parts = []


def _is_users(kind: str) -> bool:
    """Whether the caller made such an item; the provider made all others."""
    return kind.endswith(("_output", "_response", "_update", "_trigger"))


def _reasoning(asked: _Effort | None, include: frozenset[str]) -> Reasoning | None:
    encrypted = ENCRYPTED in include
    if asked is None:
        return Reasoning(encrypted=True) if encrypted else None
    summary = asked.summary or asked.generate_summary or ""
    if asked.effort == "none":
        return Reasoning(enabled=False, summary=summary, encrypted=encrypted)
    return Reasoning(effort=asked.effort or "", summary=summary, shown=True if summary else None, encrypted=encrypted)


def _format(asked: _Text | None) -> Format | None:
    if asked is None or asked.format is None:
        return None
    form = asked.format
    if form.type == "json_object":
        return Format(kind="json_object")
    if form.type != "json_schema":
        return None
    return Format(
        kind="json_schema",
        name=form.name or "answer",
        schema=form.schema,
        strict=form.strict,
        description=form.description or "",
    )


class _Choice(msgspec.Struct):
    type: str = ""
    name: str | None = None
    mode: str | None = None
    tools: list[dict[str, msgspec.Raw]] | None = None


def _tool_choice(value: msgspec.Raw, extras: Fields) -> ToolChoice | None:
    if is_null(value):
        return None
    try:
        choice = msgspec.json.decode(value, type=str | _Choice)
    except UNREADABLE as error:
        raise InvalidParams("`tool_choice` must be a word or an object.", param="tool_choice") from error
    if isinstance(choice, str):
        if choice not in ("auto", "required", "none"):
            raise InvalidParams("`tool_choice` must be `auto`, `required`, `none` or an object.", param="tool_choice")
        return ToolChoice(choice)  # type: ignore[arg-type]
    if choice.type == "allowed_tools":
        return ToolChoice("required" if choice.mode == "required" else "auto", tuple(map(_name_of, choice.tools or ())))
    if choice.type == "mcp":
        extras["tool_choice"] = value
        return None
    return ToolChoice("required", (choice.name or choice.type,))


def _name_of(tool: Fields) -> str:
    """A function's name, or what a tool of the vendor is."""
    try:
        return text_at(tool, "name", "") or text_at(tool, "type", "")
    except WrongField as error:
        raise InvalidParams(f"`tool_choice.tools.{error.field}` {error.mend}", param="tool_choice") from error


def _extras(fields: Fields, asked: Asked) -> Fields:
    """What this protocol alone knows, also within the objects of which a part is canonical."""
    extras = {name: value for name, value in fields.items() if name not in _KNOWN and not is_null(value)}
    for name, meaningless in _DEFAULTS.items():
        if name in extras and bytes(extras[name]) == meaningless:
            del extras[name]
    for name, known in (("reasoning", _Effort), ("text", _Text)):
        value = fields.get(name)
        rest = (
            drop_nulls({key: inner for key, inner in split(value).items() if key not in known.__struct_fields__})
            if value is not None and not is_null(value)
            else {}
        )
        if rest:
            extras[name] = msgspec.Raw(join(rest))
    others = [word for word in asked.include or () if word not in (ENCRYPTED, LOGPROBS, SOURCES)]
    if others:
        extras["include"] = raw(others)
    return extras
