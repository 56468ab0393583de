"""Stop sequences for providers that take none: enforced on the answer, whole or streamed.

In: a provider's bytes and the caller's stop words. Out: the same answer, its text cut before the first stop word, `finish_reason` "stop".
OpenAI's reasoning models refuse the field (https://platform.openai.com/docs/api-reference/chat/create, `stop`), so it is not sent there.
"""

from typing import Any

import msgspec

from trunkline.protocols.rawjson import UNREADABLE
from trunkline.protocols.sse import data_of, event


def cut_answer(body: bytes, stops: tuple[str, ...]) -> bytes:
    """A whole answer, cut. Left as it is where no stop word stands in it."""
    answer: dict[str, Any] = msgspec.json.decode(body)
    changed = False
    for choice in answer.get("choices") or ():
        message = choice.get("message") or {}
        content = message.get("content") or ""
        end = _first(content, stops) if isinstance(content, str) else None
        if end is not None:
            message["content"] = content[:end]
            choice["finish_reason"] = "stop"
            changed = True
    return msgspec.json.encode(answer) if changed else body


class StopStream:
    """Cuts a stream. Text that may be the beginning of a stop word is held until that is decided; one state for each choice."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held: dict[int, str] = {}
        self._stopped: set[int] = set()

    def feed(self, one: bytes) -> bytes:
        """What goes to the caller for this event: itself, an edited one, one more before it, or nothing."""
        data = data_of(one)
        if data is None or data == b"[DONE]":
            return one
        try:
            chunk = msgspec.json.decode(data)
        except UNREADABLE:
            return one
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        if not choices:
            return one
        kept = [edited for choice in choices if (edited := self._choice(choice)) is not None]
        if not kept:
            return b""
        chunk["choices"] = kept
        return event(msgspec.json.encode(chunk))

    def _choice(self, choice: dict[str, Any]) -> dict[str, Any] | None:
        index = choice.get("index", 0)
        if index in self._stopped:
            return None
        delta = choice.get("delta") or {}
        content = delta.get("content")
        text = self._held.pop(index, "") + (content if isinstance(content, str) else "")
        end = _first(text, self._stops)
        if end is not None:
            self._stopped.add(index)
            return {**choice, "delta": {**delta, "content": text[:end]}, "finish_reason": "stop"}
        if choice.get("finish_reason"):
            return {**choice, "delta": {**delta, "content": text}} if text else choice
        keep = _undecided(text, self._stops)
        if keep:
            self._held[index] = text[-keep:]
            text = text[:-keep]
        if not text and content and not (delta.keys() - {"content"}):
            return None
        return {**choice, "delta": {**delta, "content": text}} if isinstance(content, str) or text else choice


def _first(text: str, stops: tuple[str, ...]) -> int | None:
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return min(found) if found else None


def _undecided(text: str, stops: tuple[str, ...]) -> int:
    """Length of the longest end of `text` that a stop word begins with."""
    longest = min(len(text), max(len(stop) for stop in stops) - 1)
    return next((n for n in range(longest, 0, -1) if any(stop.startswith(text[-n:]) for stop in stops)), 0)
