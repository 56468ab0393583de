"""Brings a store to the current schema. In: its URL. Out: tables as `schema` has them, or StoreError.

`is_current` needs neither SQLAlchemy nor alembic: a start with a current store loads neither.
"""

import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.errors import StoreError
from trunkline.storage import sqlite_file
from trunkline.storage.url import PostgresStore, store_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = "0009"
"""The newest file of `migrations/versions`; a test compares them."""
MIGRATION_LOCK = 0x7472756E6B000001
"""Advisory locks of PostgreSQL are numbers, for all that use a database: https://www.postgresql.org/docs/14/explicit-locking.html#ADVISORY-LOCKS"""
_WAL_TRIES = 50
_WAL_PAUSE_S = 0.1


def is_current(url: str) -> bool:
    """Whether the store exists and has the schema of this version. StoreError when it is there and cannot be read."""
    store = store_of(url)
    if isinstance(store, PostgresStore):
        return _postgres_revision(store) == HEAD
    if not store.path.exists():
        return False
    return _revision(store.path) == HEAD


def upgrade(url: str) -> None:
    """Make the file if need be, and run the migrations that are missing, in one transaction. Safe to run twice, also at once. A database of
    PostgreSQL is made by its administrator."""
    store = store_of(url)
    if isinstance(store, PostgresStore):
        _refuse_newer(_postgres_revision(store), store.shown)
        return _migrate_postgres(store)
    path = store.path
    sqlite_file.create(path)
    _use_wal(path)
    _refuse_newer(_revision(path), str(path))
    return _migrate_sqlite(path)


def _refuse_newer(revision: str | None, shown: str) -> None:
    if revision is not None and revision > HEAD:
        raise StoreError(
            f"{shown}: was made by a newer version of Trunkline (schema {revision}, this one knows {HEAD}); install that version again"
        )


def _revision(path: Path) -> str | None:
    connection = sqlite_file.connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise StoreError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path}: is not a store of Trunkline: {error}") from error
    finally:
        connection.close()
    return row[0] if row else None


def _use_wal(path: Path) -> None:
    connection = sqlite_file.connect(path)
    try:
        sqlite_file.set_page_size(connection)
        _use_wal_patiently(connection)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    finally:
        connection.close()


def _use_wal_patiently(connection: sqlite3.Connection) -> None:
    # The switch takes an exclusive lock that SQLite does not always wait for (https://www.sqlite.org/wal.html, "Sometimes Queries
    # Return SQLITE_BUSY In WAL Mode"); another process that starts at the same time holds it for a moment.
    for _ in range(_WAL_TRIES - 1):
        try:
            return sqlite_file.use_wal(connection)
        except sqlite3.OperationalError:
            time.sleep(_WAL_PAUSE_S)
    return sqlite_file.use_wal(connection)


def _postgres_revision(store: PostgresStore) -> str | None:
    import asyncpg

    from trunkline.storage.postgres import Blocking

    connection = Blocking(store)
    try:
        found = connection.fetch("SELECT version_num FROM alembic_version")
    except StoreError as error:
        if isinstance(error.__cause__, asyncpg.UndefinedTableError):
            return None
        raise
    finally:
        connection.close()
    return found[0][0] if found else None


def _migrate_sqlite(path: Path) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    from trunkline.storage.engine import migration_engine

    engine = migration_engine(path)
    try:
        with engine.begin() as connection:
            _run_migrations(connection, str(path))
    except SQLAlchemyError as error:
        raise StoreError(f"{path}: the schema could not be brought up to date: {error}") from error
    finally:
        engine.dispose()


def _migrate_postgres(store: PostgresStore) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    from trunkline.storage.engine import postgres_migration_engine
    from trunkline.storage.postgres import alone

    async def migrate() -> None:
        engine = postgres_migration_engine(store)
        try:
            async with engine.begin() as connection:
                # Of two that start at once the second waits, and then finds nothing to do.
                await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
                await connection.run_sync(_run_migrations, store.shown)
        except (SQLAlchemyError, OSError) as error:
            raise StoreError(f"{store.shown}: the schema could not be brought up to date: {error}") from error
        finally:
            await engine.dispose()

    alone(migrate())


def _run_migrations(connection: "Connection", shown: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(f"{shown}: the schema could not be brought up to date: {error}") from error
