"""Opens the SQLite file on the driver. In: a path. Out: connections that are set as the durability of records needs them.

Settings: WAL, so that readers never wait for the writer (https://www.sqlite.org/wal.html), and synchronous=FULL, so that a
commit is on the disk when it returns (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

import os
import sqlite3
from pathlib import Path

from trunkline.errors import StoreError

BUSY_TIMEOUT_MS = 5_000
CONNECTION_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)
_PAGE_BYTES = 8192
_JOURNAL_LIMIT_BYTES = 64 * 1024 * 1024


def connect(path: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS, read_only: bool = False) -> sqlite3.Connection:
    """A connection in the driver's autocommit mode, usable from any thread (one at a time). StoreError when there is no such file."""
    try:
        # No mode that makes a file: one that is gone must be an error, not an empty new store (https://www.sqlite.org/uri.html).
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode={'ro' if read_only else 'rw'}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be opened: {error}") from error
    try:
        set_up(connection)
        connection.execute(f"PRAGMA busy_timeout = {busy_timeout_ms}")
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"{path}: cannot be used as a store: {error}") from error
    return connection


def set_up(connection: sqlite3.Connection) -> None:
    """The settings that SQLite keeps per connection."""
    for pragma in CONNECTION_PRAGMAS:
        connection.execute(pragma)
    # Gives back what an unusual batch left in the WAL file, at the next checkpoint.
    connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_LIMIT_BYTES}")


def create(path: Path) -> None:
    """Make the file if there is none, readable by its owner alone: records tell who asked what. SQLite gives its side files the same mode."""
    if not path.parent.is_dir():
        raise StoreError(f"{path}: the folder {path.parent} does not exist; make it, or set [store] url")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened for writing: {error.strerror}") from error


def set_page_size(connection: sqlite3.Connection) -> None:
    """Only a file that is still empty takes it. A record is about 1 KB: in pages of 4 KB (the default) too much is left over."""
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")


def use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL, where it is not yet. The file remembers it. StoreError where the file system cannot do it."""
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(f"the store's file system cannot do WAL (journal mode stayed {mode}); use a local disk")
