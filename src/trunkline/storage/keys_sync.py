"""Reads the keys for the data plane, on the driver. In: the store's URL. Out: the keys, whenever they have changed.

A poll is one primary-key read of a file that is in memory (some 10 µs), and in WAL mode never waits for a writer.
"""

import sqlite3
from typing import Any

from trunkline.accounts.keys import ApiKey
from trunkline.errors import StoreError
from trunkline.storage.columns import KEY_COLUMNS, KEYS_REVISION
from trunkline.storage.sqlite_file import connect
from trunkline.storage.url import sqlite_path

_SELECT_KEYS = f"SELECT {', '.join(KEY_COLUMNS)} FROM api_keys ORDER BY created_ms, id"  # noqa: S608 - names of ours
_SELECT_REVISION = "SELECT value FROM meta WHERE key = ?"
_BUSY_TIMEOUT_MS = 20


class KeyFeed:
    """The data plane's view of the keys. Lives as long as the gateway; polled by one thread."""

    def __init__(self, url: str) -> None:
        self._path = sqlite_path(url)
        self._connection = connect(self._path, busy_timeout_ms=_BUSY_TIMEOUT_MS)
        self._revision = -1

    def poll(self) -> list[ApiKey] | None:
        """All keys if there was a change since the last poll (the first one always tells), else None. StoreError when the store cannot
        be read: then the keys known so far go on holding."""
        try:
            # The revision first: a change in between is then told once more, never missed.
            revision = keys_revision(self._connection)
            if revision == self._revision:
                return None
            keys = load_keys(self._connection)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error
        self._revision = revision
        return keys

    def close(self) -> None:
        self._connection.close()


def keys_revision(connection: sqlite3.Connection) -> int:
    """A number that grows with each change of the keys."""
    return int(connection.execute(_SELECT_REVISION, (KEYS_REVISION,)).fetchone()[0])


def load_keys(connection: sqlite3.Connection) -> list[ApiKey]:
    """All keys, the revoked ones too, oldest first."""
    return [_key(dict(zip(KEY_COLUMNS, row, strict=True))) for row in connection.execute(_SELECT_KEYS)]


def _key(columns: dict[str, Any]) -> ApiKey:
    # SQLite has no booleans.
    return ApiKey(**columns | {"zero_retention": bool(columns["zero_retention"])})
