"""Asks a store. In: a question, which is a function of a connection of SQLAlchemy. Out: its answer, from one transaction, or StoreError.

SQLite's questions run in a few threads, as its drivers for asyncio do it too, without their extra libraries; those of PostgreSQL on the event loop.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from trunkline.errors import StoreError
from trunkline.storage.engine import postgres_engine, query_engine
from trunkline.storage.url import PostgresStore

_THREADS = 4
_TRIES = 10
_CAME_BETWEEN = ("40001", "40P01")
"""Serialization failure, deadlock: https://www.postgresql.org/docs/14/mvcc-serialization-failure-handling.html"""
Answer = TypeVar("Answer")


class AskedSqlite:
    """Lives as long as its store is open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = query_engine(path)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store")

    async def ask(self, question: Callable[[Connection], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, question)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()

    def _answer(self, question: Callable[[Connection], Answer]) -> Answer:
        try:
            with self._engine.begin() as connection:
                return question(connection)
        except SQLAlchemyError as error:
            raise _told(error, str(self._path)) from error


class AskedPostgres:
    """Lives as long as its store is open, in one event loop."""

    def __init__(self, store: PostgresStore) -> None:
        self._shown = store.shown
        # One view of the store for a whole question: between two statements a minute may become part of its hour.
        self._engine = postgres_engine(store).execution_options(isolation_level="REPEATABLE READ")

    async def ask(self, question: Callable[[Connection], Answer]) -> Answer:
        try:
            return await self._answer(question)
        except SQLAlchemyError as error:
            raise _told(error, self._shown) from error

    async def close(self) -> None:
        await self._engine.dispose()

    async def _answer(self, question: Callable[[Connection], Answer]) -> Answer:
        for _ in range(_TRIES - 1):
            try:
                return await self._once(question)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _CAME_BETWEEN:
                    raise
        return await self._once(question)

    async def _once(self, question: Callable[[Connection], Answer]) -> Answer:
        async with self._engine.begin() as connection:
            return await connection.run_sync(question)


def _told(error: SQLAlchemyError, where: str) -> StoreError:
    if isinstance(error, IntegrityError):
        return StoreError(f"{where}: this is in the store already")
    # Not its whole text: that quotes the statement's values, and the hash of a key is one of them.
    reason = str(getattr(error, "orig", None) or type(error).__name__)
    return StoreError(f"{where}: {reason}")
