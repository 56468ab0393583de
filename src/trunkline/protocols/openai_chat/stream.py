"""A stream of Chat Completions, watched as it passes. In: whole SSE events. Out: what the record needs; which event is to be held for its usage.

The bytes belong to the caller: nothing here changes them, but for `put_cost`, which edits the one event that carries usage (design.md 3.7).
"""

import contextlib
import re

import msgspec

from trunkline.protocols.openai_chat.usage import put_cost as put_cost_in_place
from trunkline.protocols.openai_chat.usage import usage_of, with_cost
from trunkline.protocols.rawjson import UNREADABLE, join, split
from trunkline.protocols.sse import data_of, event, events
from trunkline.protocols.tool_arguments import NONE, ToolCalls

DONE_MARK = b"[DONE]"
MAX_WORD = 128
"""Characters that are kept of a provider's ids and words."""
# In a text a quote is escaped, so these only hit a key; null usage stands in every event of some vendors and is none.
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_TEXT = re.compile(rb'"(?:content|reasoning_content|reasoning)":"((?:[^"\\]|\\.)*)"')
_PADDING = b'"obfuscation":"'
_AFTER_PADDING = b'"}\n\n'
_NO_EVENT = b"\0"
_QUOTE = ord('"')
_BACKSLASH = ord("\\")
_CHUNK_END = b"\r\n"
_MAX_TRIES = 32
_TOOL_CALLS = b'"tool_calls"'
_NO_TOOL_CALLS = b'"tool_calls":null'
_TELLING = re.compile(rb'"(?:usage"\s*:\s*\{|error"\s*:\s*[^n\s]|finish_reason"\s*:\s*")|\[DONE\]')


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | list[msgspec.Raw] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    audio: msgspec.Raw = msgspec.Raw(b"")


class _Choice(msgspec.Struct):
    index: int | None = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


_decoder = msgspec.json.Decoder(_Chunk)


def is_plain(block: bytes) -> bool:
    """True where no event of the block says more than a piece of the answer: no usage, error, reason to finish, or end."""
    return _TELLING.search(block) is None


def has_usage(block: bytes) -> bool:
    """True where an event of the block carries usage that is not null."""
    return block.find(b'"usage"') >= 0 and _USAGE.search(block) is not None


class Envelope:
    """What the plain events of a stream have in common: everything but a piece of text, and OpenAI's padding. Lives as long as its observer.

    A provider writes each event with the same code, so one that begins and ends like an earlier one, with no quote in its text, says nothing
    but that text: three comparisons instead of a search or a decoder. https://platform.openai.com/docs/api-reference/chat-streaming (`obfuscation`).
    """

    __slots__ = ("_end", "_fixed_bytes", "_head", "_head_bytes", "_padded", "_tail", "_tries")

    def __init__(self) -> None:
        self._end = b""
        """The tail, and the line end behind a chunk."""
        self._fixed_bytes = self._head_bytes = 0
        self._head = _NO_EVENT
        self._tail = b""
        self._padded = False
        self._tries = 0

    def text_bytes_in_chunk(self, chunk: bytes, at: int, size: int) -> int:
        """The same for one event, `size` bytes from there on, where a chunk of HTTP/1.1 ends behind it. Slices take half the time of a search."""
        text_bytes = size - self._fixed_bytes
        text = at + self._head_bytes
        end = text + text_bytes
        if text_bytes < 0 or chunk[at:text] != self._head:
            return -1
        if self._padded:
            return self.text_bytes(chunk, at, at + size) if chunk[at + size :] == _CHUNK_END else -1
        if chunk[end:] != self._end or chunk[end - 1] == _BACKSLASH or _QUOTE in chunk[text:end]:
            return -1
        return text_bytes

    def text_bytes(self, data: bytes, at: int, stop: int) -> int:
        """The size of the texts in whole events of this form, which stand there; -1 where anything else does."""
        head, tail = self._head, self._tail
        total = 0
        while at < stop:
            if not data.startswith(head, at):
                return -1
            start = at + len(head)
            end = data.find(b'"', start)
            if not data.startswith(tail, end) or data[end - 1] == _BACKSLASH:
                return -1
            total += end - start
            at = end + len(tail)
            if self._padded:
                at = data.find(b'"', at)
                if not data.startswith(_AFTER_PADDING, at):
                    return -1
                at += len(_AFTER_PADDING)
        return total if at == stop else -1

    def learn(self, block: bytes) -> None:
        """Take a plain event as the pattern. A stream whose events differ is not tried for ever."""
        if self._tries >= _MAX_TRIES:
            return
        self._tries += 1
        # The last of several that came together.
        one = block[block.rfind(b"\n\n", 0, -2) + 2 :] if block.find(b"\n\n") != len(block) - 2 else block
        found = _TEXT.search(one)
        # What comes of a tool call is needed as it is, though the next piece of it may look the same.
        if found is None or (_TOOL_CALLS in one and _NO_TOOL_CALLS not in one):
            return
        rest = one[found.end() - 1 :]
        padding = rest.rfind(_PADDING)
        self._head = one[: found.start(1)]
        self._padded = padding >= 0
        self._tail = rest[: padding + len(_PADDING)] if self._padded else rest
        self._end = self._tail + _CHUNK_END
        self._head_bytes = len(self._head)
        self._fixed_bytes = len(self._head) + len(self._tail)


class StreamObserver:
    """What has been seen of one stream. Lives as long as its attempt; fed every event once, with the time at which it came (seconds, any clock)."""

    __slots__ = (
        "_envelope_bytes", "_tool_blocks", "answer_id", "characters", "done", "envelope", "error", "finish_reason",
        "first_at", "is_usage_only", "last_at", "malformed", "service_tier", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        self.answer_id = ""
        self.finish_reason = ""
        self.service_tier: str | None = None
        self.usage: bytes | None = None
        self.error: bytes | None = None
        self.characters = 0
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.done = False
        self.malformed = False
        self.is_usage_only = False
        """The event seen last has usage and no choices."""
        self._envelope_bytes = 0
        self._tool_blocks: list[bytes] = []
        """Those that say something of tool calls, unread until the end."""
        self.envelope = Envelope()

    @property
    def useful(self) -> bool:
        """Something came that a caller would miss: text, reasoning, a tool call, a refusal, or an end."""
        return self.first_at is not None or self.finish_reason != ""

    def pass_by(self, block: bytes, at: float) -> None:
        """Take in plain events that came after the first useful one, without reading them: only an estimate would need their text.

        What is not text in an event (ids, names) has the same length throughout a stream, so the rest is its text.
        """
        if block.startswith(b":"):
            return
        self.last_at = at
        if _TOOL_CALLS in block:
            self._tool_blocks.append(block)
        self.characters += max(0, len(block) - self._envelope_bytes * (block.count(b"\n\n") or 1))

    def see(self, one: bytes, at: float) -> None:
        """Take in one event. Anything that is no chunk is marked, never raised: observing must not end a stream."""
        data = data_of(one)
        if data is None:
            return
        if data == b"[DONE]":
            self.done = True
            return
        if _TOOL_CALLS in data:
            self._tool_blocks.append(one)
        try:
            chunk = _decoder.decode(data)
        except (msgspec.ValidationError, UnicodeDecodeError):
            # JSON of a shape that we do not know is the caller's to judge: it must not be held back.
            self.malformed = True
            self.last_at = at
            self.first_at = at if self.first_at is None else self.first_at
            return
        except UNREADABLE:
            self.malformed = True
            return
        before = self.characters
        self._take(chunk, at)
        if not before and self.characters:
            self._envelope_bytes = len(one) - self.characters

    @property
    def tool_calls(self) -> tuple[int, int]:
        """How many, and how many of them with arguments that no tool can take."""
        if not self._tool_blocks:
            return NONE
        seen = ToolCalls()
        for one in events(b"".join(self._tool_blocks)):
            with contextlib.suppress(*UNREADABLE):
                _see_calls(seen, _decoder.decode(data_of(one) or b"{}"))
        return seen.counts()

    def _take(self, chunk: _Chunk, at: float) -> None:
        if chunk.id and not self.answer_id:
            self.answer_id = chunk.id[:MAX_WORD]
        if chunk.service_tier:
            self.service_tier = chunk.service_tier
        choices = chunk.choices
        if choices:
            for choice in choices:
                if choice.finish_reason:
                    self.finish_reason = choice.finish_reason[:MAX_WORD]
                if choice.delta is not None and (count := _characters(choice.delta)):
                    self.characters += count
                    self.last_at = at
                    if self.first_at is None:
                        self.first_at = at
        usage = usage_of(chunk.usage)
        if usage is not None:
            self.usage = usage
            self.is_usage_only = not choices
        error = bytes(chunk.error)
        if error != b"null":
            self.error = error


def _see_calls(seen: ToolCalls, chunk: _Chunk) -> None:
    for choice in chunk.choices or ():
        for call in (choice.delta.tool_calls if choice.delta else None) or ():
            # Some vendors number none; then each has an id of its own, and comes whole.
            name = call.id or "" if call.index is None else call.index
            seen.add((choice.index, name), (call.function.arguments if call.function else None) or "")


def usage_event(answer_id: str, model: str, created_s: int, usage: bytes) -> bytes:
    """The last chunk of a stream, as https://platform.openai.com/docs/api-reference/chat/streaming has it: usage, and no choices."""
    head = {"id": answer_id, "object": "chat.completion.chunk", "created": created_s, "model": model, "choices": []}
    return event(msgspec.json.encode({**head, "usage": msgspec.Raw(usage)}))


def put_cost(one: bytes, usage: bytes, cost: bytes, details: bytes) -> bytes:
    """The event that carries `usage`, with its cost put in."""
    edited = put_cost_in_place(one, usage, cost, details)
    if edited is not None:
        return edited
    fields = split(data_of(one) or b"{}")
    fields["usage"] = msgspec.Raw(with_cost(usage, cost, details))
    return event(join(fields))


def _characters(delta: _Delta) -> int:
    content = delta.content
    total = (len(content) if isinstance(content, str) else sum(len(part) for part in content)) if content else 0
    if delta.reasoning_content or delta.reasoning:
        total += len(delta.reasoning_content or delta.reasoning or "")
    if delta.refusal:
        total += len(delta.refusal)
    if delta.tool_calls:
        for call in delta.tool_calls:
            if call.function:
                total += len(call.function.name or "") + len(call.function.arguments or "")
    return total + len(delta.audio)
