"""A copy of a SQLite store while it is in use, and a store made from one. In: the store's URL, a file. Out: the file, complete and checked.

SQLite's own online backup (https://www.sqlite.org/backup.html): the copy is of one moment, and gateways go on writing meanwhile.
"""

import contextlib
import os
import sqlite3
from pathlib import Path

from trunkline.errors import ConfigError, StoreError
from trunkline.storage import sqlite_file
from trunkline.storage.migrate import HEAD
from trunkline.storage.url import PostgresStore, sqlite_path, store_of
from trunkline.storage.writer_claim import WriterClaim

_SIDE_FILES = ("-wal", "-shm")


def backup(url: str, target: Path) -> None:
    """Copy a store into a file that is not there yet, readable by its owner alone."""
    path = _path_of(url, "pg_dump --format=custom --file=FILE DATABASE-URL")
    if not path.exists():
        raise StoreError(f"{path}: there is no store to copy")
    if target.exists():
        raise StoreError(f"{target}: is there already; name another file")
    _copy(path, target)


def restore(url: str, source: Path, *, now_s: int) -> Path | None:
    """Put a copy in the place of the store, while no gateway runs. The store that was there is kept beside it: its path, None where there was none."""
    path = _path_of(url, "pg_restore --clean --if-exists --dbname=DATABASE-URL FILE")
    if not source.is_file():
        raise StoreError(f"{source}: there is no such file")
    _check(source)
    with WriterClaim(url):
        made = path.with_name(path.name + ".restoring")
        made.unlink(missing_ok=True)
        _copy(source, made)
        before = _set_aside(path, now_s)
        made.rename(path)
    return before


def _path_of(url: str, instead: str) -> Path:
    if isinstance(store_of(url), PostgresStore):
        raise ConfigError(f"PostgreSQL has its own tools for this: {instead} (see docs/backup.md)", where="[store] url")
    return sqlite_path(url)


def _copy(source: Path, target: Path) -> None:
    try:
        sqlite_file.create(target)
        with (
            contextlib.closing(sqlite_file.connect(source)) as read,
            contextlib.closing(sqlite3.connect(target, isolation_level=None)) as written,
        ):
            # In one step, in which others go on writing: with several it would begin anew after each of their changes.
            read.backup(written)
            # One file: no side files of a copy that somebody carries away.
            written.execute("PRAGMA journal_mode = DELETE")
        _check(target)
        _sync(target)
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise StoreError(f"{target}: {error}") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _check(path: Path) -> None:
    """StoreError for what is no complete store of this version or an earlier one."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    except (sqlite3.Error, TypeError) as error:
        raise StoreError(f"{path}: is no store of Trunkline: {error}") from error
    if said != "ok":
        raise StoreError(f"{path}: is damaged: {said}")
    if revision > HEAD:
        raise StoreError(f"{path}: was made by a newer version of Trunkline (schema {revision}, this one knows {HEAD})")


def _set_aside(path: Path, now_s: int) -> Path | None:
    if not path.exists():
        return None
    before = path.with_name(f"{path.name}.before-{now_s}")
    path.rename(before)
    for end in _SIDE_FILES:
        side = path.with_name(path.name + end)
        if side.exists():
            side.rename(before.with_name(before.name + end))
    return before


def _sync(path: Path) -> None:
    for name in (path, path.absolute().parent):
        fd = os.open(name, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
