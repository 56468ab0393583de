"""SQLAlchemy engines over the store's file. In: its path. Out: an engine for queries, and one for migrations."""

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from trunkline.storage.sqlite_file import CONNECTION_PRAGMAS


def query_engine(path: Path) -> Engine:
    """For the console and the command line; its connections may be used from any thread."""
    engine = create_engine(URL.create("sqlite", database=str(path)))
    event.listen(engine, "connect", _set_pragmas)
    return engine


def migration_engine(path: Path) -> Engine:
    """Its transactions hold DDL too, and begin with the write lock: of two migrations at once the second waits."""
    engine = query_engine(path)
    event.listen(engine, "connect", _leave_begin_to_us)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in CONNECTION_PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _leave_begin_to_us(connection: Any, _record: object) -> None:
    # The driver opens no transaction before DDL:
    # https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#serializable-isolation-savepoints-transactional-ddl
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
