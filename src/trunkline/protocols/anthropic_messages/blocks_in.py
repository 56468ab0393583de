"""Content blocks of Messages -> canonical parts. In: raw blocks of a request or an answer. Out: parts, with state of other vendors put back.

A value that is not what it should be raises one of `rawjson.UNREADABLE`; whoever reads a request says where it stood.
https://platform.claude.com/docs/en/api/messages/create
"""

from collections.abc import Callable, Mapping

import msgspec

from trunkline.ir.parts import Carry, Citation, Media, Opaque, Part, Text, Thinking, ToolCall, ToolResult
from trunkline.protocols.anthropic_messages.wire import (
    bool_of,
    encode,
    fields_of,
    items_of,
    need,
    peek_text,
    take,
    take_cache,
    take_text,
    text_of,
)
from trunkline.protocols.carry import Kept, carry, put_before, recall, unseal
from trunkline.protocols.media import base64_of
from trunkline.protocols.rawjson import Fields

_replace = msgspec.structs.replace
_NO_STATES: Mapping[str, bytes] = {}
_SEARCH_RESULT = "web_search_tool_result"
# Claude Code's first system block; noise to another vendor's prompt cache.
BILLING = "x-anthropic-billing-header:"


class _Found(msgspec.Struct):
    """A thing that a web search found (https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool#response)."""

    url: str = ""
    title: str | None = ""
    encrypted_content: str | None = ""


class _Cited(msgspec.Struct):
    """A citation, whatever it points into (https://platform.claude.com/docs/en/build-with-claude/citations#response-structure)."""

    type: str = ""
    url: str | None = ""
    source: str | None = ""
    title: str | None = ""
    document_title: str | None = ""
    cited_text: str | None = ""
    encrypted_index: str | None = ""


class _Block(msgspec.Struct):
    type: str = ""
    text: str = ""


_found = msgspec.json.Decoder(list[_Found] | dict[str, msgspec.Raw]).decode
_cited = msgspec.json.Decoder(_Cited).decode
_blocks = msgspec.json.Decoder(str | list[_Block]).decode


class BlockReader:
    """Reads the blocks of one body, in order. Lives as long as that: it knows the names of earlier calls, and state that waits for its part.

    `secret` is None for answers of providers: what they have in their slots is theirs.
    """

    __slots__ = ("_names", "_origin", "_secret", "_states", "_turn", "_waiting")

    def __init__(self, origin: str, secret: bytes | None = None, states: Mapping[str, bytes] = _NO_STATES) -> None:
        self._origin = origin
        self._secret = secret
        self._states = states
        self._names: dict[str, str] = {}
        self._turn: list[Part] = []
        self._waiting: Carry | None = None

    def add(self, parts: list[Part], block: msgspec.Raw) -> None:
        """Read one block onto the end of its turn. Adds nothing for empty text, and more than one part where hidden ones come back."""
        fields = fields_of(block)
        self._turn = parts
        part = _READ.get(peek_text(fields, "type"), BlockReader._opaque)(self, fields)
        if part is None:
            return
        if self._waiting is not None and part.carry is None:
            part, self._waiting = _replace(part, carry=self._waiting), None
        parts.append(part)

    def end_turn(self, parts: list[Part]) -> None:
        """State whose part has no text, so that nothing followed it, gets an empty one."""
        if self._waiting is not None:
            parts.append(Text("", carry=self._waiting))
            self._waiting = None

    def inner(self, content: msgspec.Raw) -> tuple[Part, ...]:
        """The parts of a value that is a text or a list of blocks."""
        if bytes(memoryview(content)[:1]) == b'"':
            text = text_of(content)
            return (Text(text),) if text else ()
        parts: list[Part] = []
        for block in items_of(content):
            self.add(parts, block)
        return tuple(parts)

    def _carry(self, fields: Fields) -> Carry | None:
        return carry(self._origin, fields)

    def _text(self, fields: Fields) -> Part | None:
        text = text_of(need(fields, "text"))
        if text.startswith(BILLING):
            fields["text"] = msgspec.Raw(encode(text))
            return Opaque("billing_header", Carry(self._origin, msgspec.Raw(encode(fields))))
        fields.pop("type")
        cache = take_cache(fields)
        cited = take(fields, "citations")
        citations = tuple(read_citation(one, self._origin) for one in items_of(cited)) if cited is not None else ()
        if not text and not fields:
            return None
        return Text(text, citations, (), self._carry(fields), cache)

    def _media(self, fields: Fields) -> Part | None:
        before = dict(fields)
        kind = "image" if text_of(fields.pop("type")) == "image" else "file"
        source = fields_of(need(fields, "source"))
        of = text_of(need(source, "type"))
        if of not in ("base64", "url", "file", "text", "content"):
            return self._opaque(before)
        cache = take_cache(fields)
        name = take_text(fields, "title")
        cited = take(fields, "citations")
        citations = cited is not None and bytes(fields_of(cited).get("enabled", b"")) == b"true"
        if of == "content":
            # Blocks of the caller's own making; their text is all that another vendor can be told.
            fields["source"] = before["source"]
        return Media(
            kind="image" if kind == "image" else "file",
            mime=take_text(source, "media_type"),
            data=base64_of(need(source, "data")) if of == "base64" else None,
            url=text_of(need(source, "url")) if of == "url" else "",
            file_id=text_of(need(source, "file_id")) if of == "file" else "",
            text=_plain(source, of),
            name=name,
            citations=citations,
            carry=self._carry(fields),
            cache=cache,
        )

    def _search_result(self, fields: Fields) -> Part | None:
        """Content of the caller's own search: a text document with a title, so that no vendor answers without it."""
        cache = take_cache(fields)
        found = _blocks(fields.get("content", msgspec.Raw(b'""')))
        text = found if isinstance(found, str) else "\n\n".join(block.text for block in found)
        source, title = peek_text(fields, "source"), peek_text(fields, "title")
        name = f"{title} ({source})" if title and source else title or source
        return Media(
            kind="file", mime="text/plain", text=text or name, name=name, carry=self._carry(fields), cache=cache
        )

    def _thinking(self, fields: Fields) -> Part | None:
        fields.pop("type")
        text = take_text(fields, "thinking")
        signature = peek_text(fields, "signature")
        kept = self._unsealed(signature)
        if kept is not None:
            return self._slot(kept, Thinking(text))
        if not signature:
            fields.pop("signature", None)
        cache = take_cache(fields)
        return Thinking(text, False, self._carry(fields), cache)

    def _redacted(self, fields: Fields) -> Part | None:
        fields.pop("type")
        kept = self._unsealed(peek_text(fields, "data"))
        if kept is None:
            return Thinking("", True, self._carry(fields))
        return self._slot(kept, Thinking("", True))

    def _slot(self, kept: Kept, part: Thinking) -> Part | None:
        put_before(self._turn, kept)
        if kept.place == "next":
            self._waiting = kept.carry
            return None
        # An empty slot of ours has nothing that a provider could be given.
        return None if kept.carry is None and not part.text else _replace(part, carry=kept.carry)

    def _tool_use(self, fields: Fields) -> Part | None:
        kind = text_of(fields["type"])
        call_id, name = text_of(need(fields, "id")), text_of(need(fields, "name"))
        arguments = bytes(take(fields, "input") or b"{}").decode()
        kept = recall(call_id, self._states, self._secret) if self._secret is not None else None
        if kept is not None:
            put_before(self._turn, kept)
            call_id = kept.id or call_id
        self._names[call_id] = name
        if kind == "tool_use":
            del fields["type"]
        cache = take_cache(fields)
        server = kind != "tool_use"
        own = self._carry(fields) if kept is None or (kept.carry is None and not server) else kept.carry
        return ToolCall(call_id, name, arguments, "server" if server else "function", "", own, cache)

    def _tool_result(self, fields: Fields) -> Part | None:
        fields.pop("type")
        call_id = self._call_id(fields)
        content, error, cache = take(fields, "content"), take(fields, "is_error"), take_cache(fields)
        return ToolResult(
            call_id,
            self._names.get(call_id, ""),
            self.inner(content) if content is not None else (),  # type: ignore[arg-type]
            error is not None and bool_of(error),
            (),
            "function",
            self._carry(fields),
            cache,
        )

    def _web_search_result(self, fields: Fields) -> Part | None:
        its_id = peek_text(fields, "tool_use_id")
        call_id, cache = self._call_id(fields), take_cache(fields)
        content = fields.get("content", msgspec.Raw(b"[]"))
        found = _found(content)
        error = isinstance(found, dict)
        sources = (
            () if isinstance(found, dict) else tuple(Citation(url=one.url, title=one.title or "") for one in found)
        )
        ours = call_id != its_id or (isinstance(found, list) and self._is_foreign(found))
        state = self._state_of(found) if ours else self._carry(fields)
        return ToolResult(call_id, self._names.get(call_id, "web_search"), (), error, sources, "server", state, cache)

    def _is_foreign(self, found: list[_Found]) -> bool:
        """Anthropic's results are encrypted; those made here of another vendor's search have no content, or sealed state."""
        if self._secret is None or not found:
            return False
        return all(not one.encrypted_content or self._unsealed(one.encrypted_content) is not None for one in found)

    def _state_of(self, found: "list[_Found] | Fields") -> Carry | None:
        kept = self._unsealed(found[0].encrypted_content or "") if isinstance(found, list) and found else None
        return kept.carry if kept is not None else None

    def _opaque(self, fields: Fields) -> Part | None:
        cache = take_cache(fields)
        kind = peek_text(fields, "type")
        if not kind:
            raise msgspec.ValidationError("`type` is missing")
        return Opaque(kind, Carry(self._origin, msgspec.Raw(encode(fields))), cache)

    def _call_id(self, fields: Fields) -> str:
        call_id = text_of(need(fields, "tool_use_id"))
        kept = recall(call_id, self._states, self._secret) if self._secret is not None else None
        return kept.id or call_id if kept is not None else call_id

    def _unsealed(self, text: str) -> Kept | None:
        return unseal(text, self._secret) if self._secret is not None else None


def read_citation(raw: msgspec.Raw, origin: str) -> Citation:
    """A citation. Its carry is the whole of it, but for one that was made here of another vendor's: that has an empty `encrypted_index`."""
    found = _cited(raw)
    foreign = found.type == "web_search_result_location" and not found.encrypted_index
    return Citation(
        url=found.url or found.source or "",
        title=found.title or found.document_title or "",
        quote=found.cited_text or "",
        carry=None if foreign else Carry(origin, msgspec.Raw(bytes(raw))),
    )


def _plain(source: Fields, of: str) -> str:
    if of == "text":
        return text_of(need(source, "data"))
    if of != "content":
        return ""
    found = _blocks(need(source, "content"))
    return found if isinstance(found, str) else "\n\n".join(block.text for block in found if block.text)


_READ: Mapping[str, Callable[[BlockReader, Fields], Part | None]] = {
    "text": BlockReader._text,
    "image": BlockReader._media,
    "document": BlockReader._media,
    "search_result": BlockReader._search_result,
    "thinking": BlockReader._thinking,
    "redacted_thinking": BlockReader._redacted,
    "tool_use": BlockReader._tool_use,
    "server_tool_use": BlockReader._tool_use,
    "mcp_tool_use": BlockReader._tool_use,
    "tool_result": BlockReader._tool_result,
    _SEARCH_RESULT: BlockReader._web_search_result,
}
