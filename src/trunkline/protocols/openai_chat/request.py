"""A Chat Completions request: what it asks for (`read`), and the body that a given offer gets (`upstream_body`).

In: the caller's bytes. Out: `ChatRequest` with `RequestFacts`; bytes for the provider, in which every value that is not ours to change is as it came.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.facts import RequestFacts
from trunkline.protocols.openai_chat import NAME
from trunkline.protocols.openai_chat.measure import measured
from trunkline.protocols.rawjson import UNREADABLE, Fields, is_null, join, raw, split
from trunkline.protocols.wishes import GATEWAY_KEYS as GATEWAY_KEYS
from trunkline.protocols.wishes import named, wishes_of

_GATEWAY_KEYS = frozenset(GATEWAY_KEYS)

_COUNTED = ("tools", "response_format")
_LIMITS = ("max_completion_tokens", "max_tokens")


class ChatRequest(msgspec.Struct, frozen=True):
    """The caller's request, taken apart at the top level only."""

    fields: Fields
    facts: RequestFacts


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Kind(msgspec.Struct):
    type: str = ""


class _Reasoning(msgspec.Struct):
    effort: str | None = None
    max_tokens: int | None = None
    enabled: bool | None = None


class _Asked(msgspec.Struct):
    """The small fields that decide something; their types are checked in one go."""

    model: str | None = None
    stream: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    stream_options: _StreamOptions | None = None
    reasoning_effort: str | None = None
    reasoning: _Reasoning | None = None
    response_format: _Kind | None = None


_asked_decoder = msgspec.json.Decoder(_Asked)
_reasoning_decoder = msgspec.json.Decoder(_Reasoning)
_FAULTY_FIELD = re.compile(r"at `\$\.(\w+)")
_NO_WORDS = b"null"
_SHORT_BODY = 4096
_LIST = ord("[")


def read(body: bytes, vocabulary: frozenset[str]) -> ChatRequest:
    """Look at a request. Raises `InvalidParams` naming the field and the mend; fields that it does not know are left alone."""
    fields = _fields(body)
    asked = _asked(body, fields)
    model, wishes = named(asked.model, wishes_of(fields))
    if not model:
        mend = "name one, for example `openai/o4-mini`. GET /api/v1/models lists them."
        raise InvalidParams(f"`model` is missing: {mend}", param="model")
    messages = fields.get("messages")
    if messages is None or not _is_filled_list(messages):
        raise InvalidParams("`messages` must be a list with at least one message.", param="messages")
    size, modalities = measured(messages)
    for name in _COUNTED:
        if name in fields:
            size += len(fields[name])
    options = asked.stream_options
    facts = RequestFacts(
        protocol=NAME,
        model=model,
        stream=bool(asked.stream),
        prompt_bytes=size,
        max_output_tokens=_output_limit(asked),
        parameters=_parameters(fields, vocabulary),
        modalities=modalities,
        needs=_needs(fields, asked),
        stop=_stop(asked.stop),
        require_parameters=wishes.require_parameters,
        include_cost=wishes.include_cost,
        wants_usage=bool((options and options.include_usage) or wishes.include_cost),
        session_id=_session(fields),
        wish=wishes.wish,
    )
    return ChatRequest(fields, facts)


def upstream_body(
    request: ChatRequest,
    *,
    model: str,
    drop: Iterable[str],
    rename: Mapping[str, str],
    ask_usage: bool,
) -> bytes:
    """The bytes for one offer. `drop` are fields that it must not see, `rename` maps the caller's word to the provider's (design.md 3.7).

    A field that is renamed onto one that is set as well gives way to it. `ask_usage` adds `stream_options.include_usage` to a stream.
    """
    fields = dict(request.fields)
    if not _GATEWAY_KEYS.isdisjoint(fields):
        for name in GATEWAY_KEYS:
            fields.pop(name, None)
    for name in drop:
        fields.pop(name, None)
        if name in _LIMITS:
            # Either name stands for both in the vocabulary, so neither may go on.
            fields.pop("max_tokens", None)
    for name, target in rename.items():
        _rename(fields, name, target)
    fields["model"] = raw(model)
    if ask_usage:
        fields["stream_options"] = _with_usage(fields.get("stream_options"))
    return join(fields)


def _fields(body: bytes) -> Fields:
    try:
        return split(body)
    except msgspec.ValidationError as error:
        raise InvalidParams("The body must be a JSON object.") from error
    except UNREADABLE as error:
        raise InvalidParams(f"The body is not valid JSON: {error}.") from error


def _asked(body: bytes, fields: Fields) -> _Asked:
    if len(body) > _SHORT_BODY:
        # Not the messages a second time.
        body = join({name: value for name, value in fields.items() if name in _Asked.__struct_fields__})
    try:
        return _asked_decoder.decode(body)
    except UNREADABLE as error:
        field = _FAULTY_FIELD.search(str(error))
        if field is None:
            raise InvalidParams(f"The body is not valid JSON: {error}.") from error
        raise InvalidParams(f"`{field[1]}` is not right: {error}.", param=field[1]) from error


def _is_filled_list(value: msgspec.Raw) -> bool:
    view = memoryview(value)
    return view[0] == _LIST and (len(view) >= 64 or bool(bytes(view[1:-1]).strip()))


def _output_limit(asked: _Asked) -> int | None:
    for name in _LIMITS:
        limit: int | None = getattr(asked, name)
        if limit is None:
            continue
        if limit < 1:
            raise InvalidParams(f"`{name}` must be at least 1.", param=name)
        return limit
    return None


def _parameters(fields: Fields, vocabulary: frozenset[str]) -> tuple[str, ...]:
    found = [name for name, value in fields.items() if name in vocabulary and not is_null(value)]
    if "max_tokens" in fields and "max_completion_tokens" not in found and not is_null(fields["max_tokens"]):
        found.append("max_completion_tokens")
    return tuple(found)


def _needs(fields: Fields, asked: _Asked) -> tuple[str, ...]:
    needs = []
    tools = fields.get("tools")
    if tools is not None and _is_filled_list(tools):
        needs.append("tools")
    if asked.response_format is not None and asked.response_format.type not in ("", "text"):
        needs.append("response_format")
    if _wants_reasoning(asked):
        needs.append("reasoning")
    return tuple(needs)


def _wants_reasoning(asked: _Asked) -> bool:
    if asked.reasoning_effort is not None and asked.reasoning_effort != "none":
        return True
    reasoning = asked.reasoning
    if reasoning is None or reasoning.enabled is False or reasoning.effort == "none":
        return False
    return bool(reasoning.enabled or reasoning.effort or reasoning.max_tokens)


def _stop(stop: str | list[str] | None) -> tuple[str, ...]:
    return tuple(word for word in ([stop] if isinstance(stop, str) else stop or ()) if word)


def _session(fields: Fields) -> str:
    for name in ("prompt_cache_key", "session_id"):
        value = bytes(fields.get(name, _NO_WORDS))
        if value.startswith(b'"'):
            return _text(name, value)[:256]
    return ""


def _text(name: str, value: bytes) -> str:
    try:
        return msgspec.json.decode(value, type=str)
    except UNREADABLE as error:
        raise InvalidParams(f"`{name}` is not right: {error}.", param=name) from error


def _rename(fields: Fields, name: str, target: str) -> None:
    value = fields.pop(name, None)
    if value is None or is_null(value) or not is_null(fields.get(target)):
        return
    if name == "reasoning" and target == "reasoning_effort":
        effort = _reasoning_decoder.decode(value).effort
        if effort:
            fields[target] = raw(effort)
        return
    fields[target] = value


def _with_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    if is_null(options):
        return msgspec.Raw(b'{"include_usage":true}')
    assert options is not None
    fields = split(bytes(options))
    fields["include_usage"] = msgspec.Raw(b"true")
    return msgspec.Raw(join(fields))
