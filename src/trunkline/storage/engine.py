"""SQLAlchemy engines over the store. In: the file's path, or what names a database. Out: an engine for queries, and one for migrations."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event

from trunkline.storage.sqlite_file import CONNECTION_PRAGMAS
from trunkline.storage.url import PostgresStore

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_CONNECTIONS = 5
_MORE_CONNECTIONS = 5
_WAIT_FOR_ONE_S = 10.0
_MIGRATION_WAIT_MS = 300_000


def query_engine(path: Path) -> Engine:
    """For the console and the command line; its connections may be used from any thread."""
    engine = create_engine(URL.create("sqlite", database=str(path)))
    event.listen(engine, "connect", _set_pragmas)
    return engine


def migration_engine(path: Path) -> Engine:
    """Its transactions hold DDL too, and begin with the write lock: of two migrations at once the second waits."""
    engine = query_engine(path)
    event.listen(engine, "connect", _wait_for_others)
    event.listen(engine, "connect", _leave_begin_to_us)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def postgres_engine(store: PostgresStore) -> "AsyncEngine":
    """For the console and the command line: `await connection.run_sync(question)`. Belongs to one event loop. A connection that the server has
    ended meanwhile is noticed before it is used."""
    return _postgres_engine(
        store, pool_size=_CONNECTIONS, max_overflow=_MORE_CONNECTIONS, pool_timeout=_WAIT_FOR_ONE_S, pool_pre_ping=True
    )


def postgres_migration_engine(store: PostgresStore) -> "AsyncEngine":
    """One connection after the other, without a limit of time: a large table may take long to change."""
    return _postgres_engine(store, statement_timeout_s=None, poolclass=NullPool)


def _postgres_engine(
    store: PostgresStore, *, statement_timeout_s: float | None = 15.0, **options: Any
) -> "AsyncEngine":
    from sqlalchemy.ext.asyncio import create_async_engine

    from trunkline.storage.postgres import connect

    async def open_one() -> Any:
        return await connect(store, statement_timeout_s=statement_timeout_s)

    return create_async_engine("postgresql+asyncpg://", async_creator=open_one, **options)


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in CONNECTION_PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _wait_for_others(connection: Any, _record: object) -> None:
    # Another process's migration of a large store takes longer than a page would wait.
    connection.execute(f"PRAGMA busy_timeout = {_MIGRATION_WAIT_MS}")


def _leave_begin_to_us(connection: Any, _record: object) -> None:
    # The driver opens no transaction before DDL:
    # https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#serializable-isolation-savepoints-transactional-ddl
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
