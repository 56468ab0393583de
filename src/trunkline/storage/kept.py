"""Finds what is kept. In: keys. Out: `Kept`, decrypted, of those that have not expired.

For the data plane: on the driver, over a connection that cannot write.
"""

import sqlite3
from collections.abc import Sequence

from trunkline.errors import StoreError
from trunkline.records.types import Kept
from trunkline.storage.cipher import Cipher
from trunkline.storage.columns import KEPT_COLUMNS
from trunkline.storage.sqlite_file import connect
from trunkline.storage.url import sqlite_path

_AT_ONCE = 100
# S608: names are constants of ours.
_SELECT = f"SELECT {', '.join(KEPT_COLUMNS)} FROM kept WHERE expires_ms > ? AND key IN "  # noqa: S608
_BUSY_TIMEOUT_MS = 250


class KeptReader:
    """Lives as long as the process. Used by one thread at a time; the file is opened at the first question."""

    def __init__(self, url: str, cipher: Cipher) -> None:
        self._path = sqlite_path(url)
        self._cipher = cipher
        self._connection: sqlite3.Connection | None = None

    def find(self, keys: Sequence[str], now_ms: float) -> list[Kept]:
        """Those that are there, in any order. StoreError when the store cannot be read."""
        found: list[Kept] = []
        try:
            for start in range(0, len(keys), _AT_ONCE):
                found += self._some(keys[start : start + _AT_ONCE], now_ms)
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"{self._path}: {error}") from error
        return [self._cipher.open(sealed) for sealed in found]

    def close(self) -> None:
        """Give the connection up; the next question opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _some(self, keys: Sequence[str], now_ms: float) -> list[Kept]:
        if self._connection is None:
            self._connection = connect(self._path, busy_timeout_ms=_BUSY_TIMEOUT_MS, read_only=True)
        statement = f"{_SELECT}({', '.join('?' * len(keys))})"
        return [Kept(*row) for row in self._connection.execute(statement, (now_ms, *keys))]
