"""What a conversation is made of: turns of parts, whatever protocol wrote them. In: a codec's reading. Out: a codec's writing.

Order and borders are kept as they came: one wire message is one `Turn`, one wire block is one part. All frozen; made once, never copied.
"""

from typing import Literal

import msgspec

Role = Literal["system", "developer", "user", "assistant"]
"""There is no role for tool results: they are parts of user turns, in Chat alone in their turn, in Messages and Gemini beside other parts."""


class Carry(msgspec.Struct, frozen=True):
    """What only its origin understands: signatures, encrypted reasoning, item ids. Travels with its part and is never looked into."""

    origin: str
    """The protocol, and after a slash the dialect where only that one can read it back: `anthropic.messages`, `openai.responses/azure`."""
    data: msgspec.Raw
    """A JSON object: the keys of the wire part that have no place here, as they came. The origin's encoder puts them back."""


class CacheMark(msgspec.Struct, frozen=True):
    """The prompt up to and with this part (or tool) is worth caching."""

    ttl_s: int = 300


class Logprob(msgspec.Struct, frozen=True, omit_defaults=True):
    """A token of the answer, how likely it was, and what else was likely in its place."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top: tuple["Logprob", ...] = ()


class Citation(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Where a text has its content from; in `ToolResult.sources` a thing found."""

    url: str = ""
    title: str = ""
    quote: str = ""
    """The words cited from the source."""
    start: int | None = None
    """In characters of the part's text, `end` exclusive. None: the whole part."""
    end: int | None = None
    carry: Carry | None = None


class Text(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    text: str
    citations: tuple[Citation, ...] = ()
    logprobs: tuple[Logprob, ...] = ()
    """Of answers that were asked for them."""
    carry: Carry | None = None
    cache: CacheMark | None = None


class Media(msgspec.Struct, frozen=True, omit_defaults=True, tag=True, kw_only=True):
    """Exactly one of `data`, `url`, `file_id`, `text` is set."""

    kind: Literal["image", "audio", "video", "file"]
    mime: str = ""
    """E.g. `image/png`; empty where the wire did not say."""
    data: memoryview | bytes | None = None
    """Base64 text without quotes, most often a view on the request's body: megabytes, so it is not copied (see `protocols.media`)."""
    url: str = ""
    file_id: str = ""
    """Of the origin's file store: useless elsewhere."""
    text: str = ""
    """A document that is given as plain text."""
    name: str = ""
    """Of the file, or a document's title."""
    detail: str = ""
    """OpenAI's `low`, `high`, `auto`; Gemini's media resolution in the same words."""
    citations: bool = False
    """The answer shall cite this document."""
    carry: Carry | None = None
    cache: CacheMark | None = None


class Thinking(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """Reasoning, as far as it is shown. Several summary parts are joined with a blank line. The signature is in the carry."""

    text: str = ""
    redacted: bool = False
    """The provider hides it: only the carry counts."""
    carry: Carry | None = None
    cache: CacheMark | None = None


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    id: str
    name: str
    arguments: str = ""
    """As the model wrote it: JSON that may be empty or broken, or of a custom tool free text. Never re-encoded on the way to a string."""
    kind: Literal["function", "custom", "server"] = "function"
    """`server`: the provider ran it itself, e.g. `web_search`; its `ToolResult` follows in the same turn."""
    namespace: str = ""
    carry: Carry | None = None
    cache: CacheMark | None = None


class ToolResult(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    call_id: str
    name: str = ""
    """Of the tool; readers look it up from the call where their wire has no name here."""
    parts: tuple["Text | Media | Opaque", ...] = ()
    is_error: bool = False
    sources: tuple[Citation, ...] = ()
    """Of a web search that the provider ran."""
    kind: Literal["function", "custom", "server"] = "function"
    carry: Carry | None = None
    cache: CacheMark | None = None


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    text: str
    logprobs: tuple[Logprob, ...] = ()
    carry: Carry | None = None
    cache: CacheMark | None = None


class Opaque(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """A part that only its origin knows; the carry is the whole of it. Goes back to the same origin, elsewhere it is a loss."""

    kind: str
    """The origin's word for it, for the notice: `code_execution_tool_result`, `computer_call`, `executableCode`."""
    carry: Carry
    cache: CacheMark | None = None


Part = Text | Media | Thinking | ToolCall | ToolResult | Refusal | Opaque


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message. Empty text makes no part, unless it bears a carry; so `parts` may be empty."""

    role: Role
    parts: tuple[Part, ...]
    name: str = ""
    """Of the participant, which only Chat knows."""
    carry: Carry | None = None
    """Of the message itself: its id, unknown keys."""
