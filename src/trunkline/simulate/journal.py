"""The log of requests as they were received, for tests to look into. Values of keys are never kept.

In: an ASGI scope and the raw body. Out: JSON objects, oldest first; the last 2,000 and 64 MiB of them.
"""

import re
from collections import deque
from typing import Any

import msgspec

KEPT = 2_000
BODY_KEPT_BYTES = 262_144
ALL_KEPT_BYTES = 67_108_864
SECRET = (b"authorization", b"api-key", b"x-api-key", b"x-goog-api-key", b"cookie", b"proxy-authorization")


KEY = re.compile(r"((?:^|&)key=)[^&]*")
"""Gemini takes a key in the query, too."""


class Entry(msgspec.Struct):
    """One request; `status` and `outcome` are filled in when its answer has ended."""

    n: int
    provider: str
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    """In the order in which they came."""
    body: Any
    """Parsed, null where it is no JSON or longer than 256 KiB."""
    text: str
    """As received; empty where it is longer than 256 KiB."""
    body_bytes: int
    status: int | None = None
    outcome: str = "open"
    """`open`, `answered`, `failed`, `refused`, `cut`, `reset`, `stalled`, `error`, or `left` where the client went
    first."""


class Journal:
    """Lives as long as the server: entries, and how often each scripted failure was played."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.kept_chars = 0
        self.failures: dict[tuple[str, str], int] = {}
        self.received = 0

    def note(self, provider: str, scope: dict[str, Any], raw: bytes) -> Entry:
        self.received += 1
        short = len(raw) <= BODY_KEPT_BYTES
        entry = Entry(
            n=self.received,
            provider=provider,
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=KEY.sub(r"\1***", scope["query_string"].decode("latin-1")),
            headers=[shown(name, value) for name, value in scope["headers"]],
            body=None,
            text=raw.decode("utf-8", "replace") if short else "",
            body_bytes=len(raw),
        )
        self.entries.append(entry)
        self.kept_chars += len(entry.text)
        while len(self.entries) > KEPT or self.kept_chars > ALL_KEPT_BYTES:
            self.kept_chars -= len(self.entries.popleft().text)
        return entry

    def after(self, n: int) -> bytes:
        """All entries with a higher number, as a JSON array."""
        found = [entry for entry in self.entries if entry.n > n]
        return msgspec.json.encode([msgspec.structs.replace(entry, body=parsed(entry.text)) for entry in found])

    def counted(self, provider: str, message: str) -> int:
        """How often this message has met its scripted failure, now included."""
        times = self.failures.get((provider, message), 0) + 1
        self.failures[provider, message] = times
        return times

    def clear(self) -> None:
        self.entries.clear()
        self.kept_chars = 0
        self.failures.clear()
        self.received = 0


def shown(name: bytes, value: bytes) -> tuple[str, str]:
    return name.decode("latin-1"), "***" if name in SECRET else value.decode("latin-1")


def parsed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
