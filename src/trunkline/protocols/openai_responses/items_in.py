"""Items of Responses, read: of a request's `input`, of an answer's `output`. In: raw keys of an item. Out: canonical parts.

An assistant's items are parts of one turn: a message's texts, reasoning, calls. https://developers.openai.com/api/reference/resources/responses/methods/create
"""

from collections.abc import Callable, Mapping

import msgspec

from trunkline.ir.parts import (
    Carry,
    Citation,
    Logprob,
    Media,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from trunkline.protocols.carry import Kept, carry, put_before, recall, unseal
from trunkline.protocols.media import base64_of, data_url
from trunkline.protocols.openai_responses.wire import (
    WrongField,
    drop,
    drop_nulls,
    is_null,
    objects,
    raw,
    take,
    take_object,
    take_objects,
    take_text,
    text_at,
)  # fmt: skip
from trunkline.protocols.rawjson import Fields, join

_replace = msgspec.structs.replace
_Inner = Text | Media | Opaque

CONTENT = "content"
"""In a carry of an assistant's text: the keys of the content part; all others are the message's."""
_NO_VALUES: Fields = {}


class Reading:
    """What is known while a list of items is read. Lives as long as it.

    `secret` None is an answer: its slots are the provider's own, and ids and states of its items say nothing to a later request, so they are left.
    """

    __slots__ = ("_names", "_next", "ids", "origin", "secret", "states")

    def __init__(self, origin: str, secret: bytes | None = None, states: Mapping[str, bytes] | None = None) -> None:
        self.origin = origin
        self.secret = secret
        self.states = states or {}
        self.ids: dict[str, str] = {}
        """Ids of ours -> the provider's own."""
        self._names: dict[str, str] = {}
        self._next: Carry | None = None

    def carry(self, fields: Fields) -> Carry | None:
        return carry(self.origin, drop_nulls(fields))

    def item_carry(self, fields: Fields) -> Carry | None:
        """Of what is left of an item."""
        if self.secret is None:
            drop(fields, ("id", "status"))
        return self.carry(fields)

    def name_of(self, call_id: str) -> str:
        return self._names.get(call_id, "")

    def add(self, part: Part, parts: list[Part]) -> None:
        """Add a part to its turn, with the carry that was announced for it."""
        if self._next is not None:
            part, self._next = _replace(part, carry=self._next), None
        if isinstance(part, ToolCall):
            self._names[part.id] = part.name
        parts.append(part)

    def unseal(self, text: str) -> Kept | None:
        return unseal(text, self.secret) if self.secret is not None and text else None

    def announce(self, announced: Carry | None) -> None:
        self._next = announced

    def end_turn(self, parts: list[Part]) -> None:
        """A carry whose part was lost on the way stays, on a text without words."""
        if self._next is not None:
            self.add(Text(""), parts)


def read_item(fields: Fields, reading: Reading, parts: list[Part]) -> None:
    """Add an assistant's item to the parts of its turn. `fields` is used up."""
    kind = take_text(fields, "type", "message")
    read = _ITEMS.get(kind)
    if read is not None:
        read(fields, reading, parts)
    else:
        reading.add(opaque(kind, fields, reading.origin), parts)


def opaque(kind: str, fields: Fields, origin: str) -> Opaque:
    """An item or content part that only this protocol knows."""
    return Opaque(kind, Carry(origin, msgspec.Raw(join({"type": raw(kind), **fields}))))


def read_content(value: msgspec.Raw | None, reading: Reading, field: str = CONTENT) -> list[Part]:
    """The parts of a message's content, or of a tool's output: a string or a list."""
    if value is None or is_null(value):
        return []
    if memoryview(value)[0] == ord('"'):
        text = take_text({field: value}, field)
        return [Text(text)] if text else []
    parts: list[Part] = []
    for at, inner in enumerate(objects(value, field)):
        try:
            parts.append(_content_part(inner, reading))
        except WrongField as error:
            raise error.within(f"{field}[{at}]") from error
    return [part for part in parts if not (isinstance(part, Text) and not part.text and part.carry is None)]


def read_output(fields: Fields, reading: Reading, kind: str) -> ToolResult:
    """`function_call_output` or `custom_tool_call_output`: what the caller's tool gave."""
    call_id = take_text(fields, "call_id")
    parts = read_content(fields.pop("output", None), reading, "output")
    fields.pop("name", None)
    call_id = reading.ids.get(call_id, call_id)
    return ToolResult(
        call_id=call_id,
        name=reading.name_of(call_id),
        parts=tuple(part for part in parts if isinstance(part, _Inner)),
        kind="custom" if kind.startswith("custom") else "function",
        carry=reading.item_carry(fields),
    )


def citation_of(fields: Fields, origin: str) -> Citation:
    """An annotation. Those of files have no URL, so all of theirs is in the carry."""
    if text_at(fields, "type", "") != "url_citation":
        return Citation(title=_title(fields), carry=carry(origin, fields))
    del fields["type"]
    return Citation(
        url=take_text(fields, "url", ""),
        title=take_text(fields, "title", ""),
        start=take(fields, "start_index", int, 0) if "start_index" in fields else None,
        end=take(fields, "end_index", int, 0) if "end_index" in fields else None,
        carry=carry(origin, drop_nulls(fields)),
    )


class _Logprob(msgspec.Struct):
    token: str = ""
    logprob: float = 0.0
    bytes: tuple[int, ...] | None = None
    top_logprobs: "list[_Logprob] | None" = None


_logprobs = msgspec.json.Decoder(list[_Logprob])


def logprobs_of(value: msgspec.Raw | None) -> tuple[Logprob, ...]:
    if value is None or is_null(value) or len(memoryview(value)) == 2:
        return ()
    return tuple(_logprob(one) for one in _logprobs.decode(value))


def summary_text(fields: Fields) -> str:
    """What a reasoning item shows: its summary, else its text. Takes from `fields` what the text alone brings back."""
    summary, content = take_objects(fields, "summary"), fields.get(CONTENT)
    texts = [text_at(piece, "text", "") for piece in summary]
    if content is None or is_null(content):
        fields.pop(CONTENT, None)
        if len(summary) > 1:
            fields["summary"] = raw(summary)
        return "\n\n".join(texts)
    pieces = objects(content, CONTENT)
    if summary:
        fields["summary"] = raw(summary)
        return "\n\n".join(texts)
    if len(pieces) == 1:
        # Said once is enough: `true` means that the text is the content.
        fields[CONTENT] = msgspec.Raw(b"true")
    return "".join(text_at(piece, "text", "") for piece in pieces)


def thinking_of(fields: Fields, origin: str) -> Thinking:
    """A reasoning item. Without `encrypted_content` nobody can verify it: then there is nothing to carry but its text."""
    text = summary_text(fields)
    if is_null(fields.get("encrypted_content")):
        return Thinking(text)
    return Thinking(text, carry=carry(origin, drop_nulls(fields)))


def _logprob(one: _Logprob) -> Logprob:
    top = tuple(Logprob(other.token, other.logprob, other.bytes) for other in one.top_logprobs or ())
    return Logprob(one.token, one.logprob, one.bytes, top)


def _title(fields: Fields) -> str:
    return text_at(fields, "filename", "")


def _message(fields: Fields, reading: Reading, parts: list[Part]) -> None:
    fields.pop("role", None)
    found = read_content(fields.pop(CONTENT, None), reading)
    if reading.secret is None:
        drop(fields, ("id", "status"))
    left = drop_nulls(fields)
    if left:
        first = found[0] if found else Text("")
        inner = msgspec.Raw(bytes(first.carry.data)) if first.carry is not None else None
        if isinstance(first, Opaque):
            found.insert(0, Text("", carry=carry(reading.origin, left)))
        else:
            merged = {**left, CONTENT: inner} if inner is not None else left
            found[:1] = [_replace(first, carry=carry(reading.origin, merged))]
    for part in found:
        reading.add(part, parts)


def _reasoning(fields: Fields, reading: Reading, parts: list[Part]) -> None:
    sealed = fields.get("encrypted_content")
    kept = reading.unseal(text_at(fields, "encrypted_content", "")) if not is_null(sealed) else None
    if kept is None:
        reading.add(thinking_of(fields, reading.origin), parts)
        return
    put_before(parts, kept)
    if kept.place == "next":
        reading.announce(kept.carry)
    else:
        reading.add(Thinking(summary_text(fields), carry=kept.carry), parts)


def _call(fields: Fields, reading: Reading, parts: list[Part]) -> None:
    _add_call(
        fields,
        reading,
        parts,
        ToolCall(take_text(fields, "call_id"), take_text(fields, "name"), take_text(fields, "arguments", "")),
    )


def _custom_call(fields: Fields, reading: Reading, parts: list[Part]) -> None:
    call = ToolCall(take_text(fields, "call_id"), take_text(fields, "name"), take_text(fields, "input", ""), "custom")
    _add_call(fields, reading, parts, call)


def _add_call(fields: Fields, reading: Reading, parts: list[Part], call: ToolCall) -> None:
    call = _replace(call, namespace=take_text(fields, "namespace", ""), carry=reading.item_carry(fields))
    kept = recall(call.id, reading.states, reading.secret) if reading.secret is not None and reading.states else None
    if kept is not None:
        put_before(parts, kept)
        reading.ids[call.id] = kept.id or call.id
        call = _replace(call, id=kept.id or call.id, carry=kept.carry or call.carry)
    reading.add(call, parts)


def _web_search(fields: Fields, reading: Reading, parts: list[Part]) -> None:
    for part in web_search_parts(fields, reading.origin):
        reading.add(part, parts)


def web_search_parts(fields: Fields, origin: str) -> tuple[ToolCall, ToolResult]:
    """A search that the provider ran: the call, with the query as its arguments, and what was found."""
    call_id = text_at(fields, "id", "")
    action = take_object(dict(fields), "action") or _NO_VALUES
    sources = take_objects(dict(action), "sources")
    arguments = {key: value for key, value in action.items() if key not in ("sources", "type", "queries")}
    found = tuple(Citation(url=take_text(source, "url", "")) for source in sources)
    return (
        ToolCall(call_id, "web_search", join(arguments).decode(), "server", carry=carry(origin, drop_nulls(fields))),
        ToolResult(call_id, "web_search", kind="server", sources=found, carry=_part_of_call(origin)),
    )


def _part_of_call(origin: str) -> Carry:
    return Carry(origin, msgspec.Raw(b'{"type":"web_search_call"}'))


_ITEMS: Mapping[str, Callable[[Fields, Reading, list[Part]], None]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _call,
    "custom_tool_call": _custom_call,
    "web_search_call": _web_search,
}


def _content_part(fields: Fields, reading: Reading) -> Part:
    kind = take_text(fields, "type", "")
    read = _CONTENT.get(kind)
    return read(fields, reading) if read is not None else opaque(kind, fields, reading.origin)


def _text_part(fields: Fields, reading: Reading) -> Text:
    text = take_text(fields, "text")
    citations: tuple[Citation, ...] = ()
    if "annotations" in fields:
        citations = tuple(citation_of(one, reading.origin) for one in take_objects(fields, "annotations"))
    logprobs = logprobs_of(fields.pop("logprobs", None))
    return Text(text, citations, logprobs, reading.carry(fields) if fields else None)


def _refusal_part(fields: Fields, reading: Reading) -> Refusal:
    return Refusal(take_text(fields, "refusal"), carry=reading.carry(fields))


def _image_part(fields: Fields, reading: Reading) -> Media:
    detail, file_id, url = (
        take_text(fields, "detail", ""),
        take_text(fields, "file_id", ""),
        fields.pop("image_url", None),
    )
    left = reading.carry(fields)
    if url is None or is_null(url):
        if not file_id:
            raise WrongField("image_url", "is missing; give a URL, a data URL, or a `file_id`.")
        return Media(kind="image", file_id=file_id, detail=detail, carry=left)
    inline = data_url(url)
    if inline is not None:
        return Media(kind="image", mime=inline[0], data=inline[1], detail=detail, carry=left)
    return Media(kind="image", url=take_text({"image_url": url}, "image_url"), detail=detail, carry=left)


def _file_part(fields: Fields, reading: Reading) -> Media:
    name, file_id = take_text(fields, "filename", ""), take_text(fields, "file_id", "")
    url, data = take_text(fields, "file_url", ""), fields.pop("file_data", None)
    left = reading.carry(fields)
    if data is None or is_null(data):
        if not (url or file_id):
            raise WrongField("file_data", "is missing; give the content, a `file_url`, or a `file_id`.")
        return Media(kind="file", name=name, url=url, file_id="" if url else file_id, carry=left)
    if memoryview(data)[0] != ord('"'):
        raise WrongField("file_data", "must be a string.")
    mime, content = data_url(data) or ("", base64_of(data))
    return Media(kind="file", name=name, mime=mime, data=content, carry=left)


def _audio_part(fields: Fields, reading: Reading) -> Media:
    inner = take_object(fields, "input_audio") or {}
    data, form = inner.get("data"), take_text(inner, "format", "wav")
    if data is None or memoryview(data)[0] != ord('"'):
        raise WrongField("input_audio.data", "must be a string of base64.")
    return Media(kind="audio", mime=f"audio/{form}", data=base64_of(data), carry=reading.carry(fields))


_CONTENT: Mapping[str, Callable[[Fields, Reading], Part]] = {
    "input_text": _text_part,
    "output_text": _text_part,
    "text": _text_part,
    "refusal": _refusal_part,
    "input_image": _image_part,
    "input_file": _file_part,
    "input_audio": _audio_part,
}
