"""What is kept, to test with. In: a key. Out: always the same `Kept` for it."""

from collections.abc import Sequence

import msgspec

from trunkline.records.types import Kept
from trunkline.storage.cipher import Cipher

NOW_MS = 1_767_225_600_000
DAY_MS = 86_400_000
CIPHER = Cipher(b"pepper of the tests, 32 bytes long")


def a_kept(key: str = "tl1sAAAA", data: bytes = b"a secret thought", **changes: object) -> Kept:
    kept = Kept(key, "state", "", NOW_MS, NOW_MS + DAY_MS, data)
    return msgspec.structs.replace(kept, **changes)


class Sink:
    """A writer whose changes are durable when a test says so."""

    def __init__(self) -> None:
        self.changes: list[Kept | str] = []
        self.durable_changes = 0

    def keep(self, kept: Kept) -> int:
        self.changes.append(kept)
        return len(self.changes)

    def forget(self, key: str) -> int:
        self.changes.append(key)
        return len(self.changes)

    def store(self, source: "Source") -> None:
        """Everything handed over so far becomes durable."""
        for change in self.changes[self.durable_changes :]:
            if isinstance(change, Kept):
                source.rows[change.key] = change
            else:
                source.rows.pop(change, None)
        self.durable_changes = len(self.changes)


class Source:
    """A store; `asked` are the keys that it was asked for. `error` is raised instead of an answer."""

    def __init__(self) -> None:
        self.rows: dict[str, Kept] = {}
        self.asked: list[str] = []
        self.error: Exception | None = None

    def find(self, keys: Sequence[str], now_ms: float) -> list[Kept]:
        self.asked += keys
        if self.error is not None:
            raise self.error
        return [self.rows[key] for key in keys if key in self.rows and self.rows[key].expires_ms > now_ms]
