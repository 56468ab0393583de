"""Questions to the store, and changes of the keys, for console and command line. In: ids, limits. Out: records, keys.

Async over SQLAlchemy Core, the same questions for SQLite and PostgreSQL (see `asking`). The data plane uses batches and `keys_sync` instead.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Integer, Row, Select, Text, cast, insert, inspect, select, tuple_, update

from trunkline.accounts.keys import ApiKey
from trunkline.errors import StoreError
from trunkline.records.types import Record
from trunkline.storage.answer_search import newest_with_answer
from trunkline.storage.asking import AskedPostgres, AskedSqlite
from trunkline.storage.columns import KEYS_REVISION, RECORD_COLUMNS
from trunkline.storage.key_rows import key_values, read_key
from trunkline.storage.remembered import Remembered
from trunkline.storage.rows import read_record
from trunkline.storage.schema import api_keys, meta, records
from trunkline.storage.url import PostgresStore, store_of

_RECORD = tuple(records.c[name] for name in RECORD_COLUMNS)
Answer = TypeVar("Answer")


class Store:
    """An open store. Lives from `open` to `close`; for any number of tasks of one event loop."""

    def __init__(self, asked: AskedSqlite | AskedPostgres) -> None:
        self._asked = asked
        self.remembered = Remembered()
        """What is over, for `statistics` and `outcomes`."""

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open an existing store of the current schema (see `migrate`). StoreError when there is none."""
        store = store_of(url)
        if isinstance(store, PostgresStore):
            asked = AskedPostgres(store)
            try:
                await asked.ask(_is_there)
            except BaseException:
                await asked.close()
                raise
            return cls(asked)
        if not store.path.exists():
            raise StoreError(f"{store.path}: there is no store yet; `trunkline serve` or `trunkline migrate` makes it")
        return cls(AskedSqlite(store.path))

    async def close(self) -> None:
        """Wait for the questions that are under way, then give up the connections."""
        await self._asked.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def generation(self, id_: str) -> Record | None:
        """The record with this id, else the newest one whose answer had it."""

        def find(connection: Connection) -> Record | None:
            by_id = select(*_RECORD).where(records.c.id == id_)
            found = connection.execute(by_id).first() or newest_with_answer(connection, id_)
            return read_record(found) if found else None

        return await self.ask(find)

    async def recent(self, limit: int = 50, before: str | None = None) -> list[Record]:
        """The newest records by time of receipt; with `before`, the id of a record, those older than that one."""
        query = _recent(limit, before)
        return await self.ask(lambda connection: [read_record(row) for row in connection.execute(query)])

    async def create_key(self, key: ApiKey) -> None:
        """Keep a key made by `accounts.keys.issue_key`. StoreError when its id or hash is there already."""
        await self.ask(lambda connection: _change_keys(connection, insert(api_keys).values(key_values(key))))

    async def list_keys(self) -> list[ApiKey]:
        """All keys, newest first, the revoked and expired ones too."""
        query = select(api_keys).order_by(api_keys.c.created_ms.desc(), api_keys.c.id)
        return await self.ask(lambda connection: _read_keys(connection.execute(query).all()))

    async def get_key(self, id_: str) -> ApiKey | None:
        return await self._find_key(select(api_keys).where(api_keys.c.id == id_))

    async def get_key_by_hash(self, hash_: str) -> ApiKey | None:
        return await self._find_key(select(api_keys).where(api_keys.c.hash == hash_))

    async def revoke_key(self, id_: str, *, now_ms: int) -> ApiKey | None:
        """End a key now, unless it was revoked before. Gives the key as it is then, None when there is none."""
        revocation = (
            update(api_keys).where(api_keys.c.id == id_, api_keys.c.revoked_ms.is_(None)).values(revoked_ms=now_ms)
        )
        await self.ask(lambda connection: _change_keys(connection, revocation))
        return await self.get_key(id_)

    async def _find_key(self, query: Select[Any]) -> ApiKey | None:
        keys = await self.ask(lambda connection: _read_keys(connection.execute(query).all()))
        return keys[0] if keys else None

    async def ask(self, question: Callable[[Connection], Answer]) -> Answer:
        """Run a question in one transaction, which sees the store as it is at its begin. Of the parts of `storage` that have questions of their own.

        A question may be asked again where another transaction came in between, so it must do nothing but ask, and change the store.
        """
        return await self._asked.ask(question)


def _is_there(connection: Connection) -> None:
    """StoreError where a database has no tables yet."""
    if not inspect(connection).has_table("meta"):
        raise StoreError("the database has no store yet; `trunkline serve` or `trunkline migrate` makes it")


def _recent(limit: int, before: str | None) -> Select[Any]:
    newest_first = (records.c.received_ms.desc(), records.c.id.desc())
    query = select(*_RECORD).order_by(*newest_first).limit(limit)
    if before is None:
        return query
    mark = select(records.c.received_ms, records.c.id).where(records.c.id == before)
    return query.where(tuple_(records.c.received_ms, records.c.id) < mark.scalar_subquery())


def _change_keys(connection: Connection, change: Any) -> None:
    """A change of the keys and of their revision, by which gateways see that they have to read them again.

    The first statement is a write: a transaction that begins with a read cannot wait for another writer
    (https://www.sqlite.org/isolation.html).
    """
    next_revision = cast(cast(meta.c.value, Integer) + 1, Text)
    connection.execute(update(meta).where(meta.c.key == KEYS_REVISION).values(value=next_revision))
    connection.execute(change)


def _read_keys(found: Sequence[Row[Any]]) -> list[ApiKey]:
    return [read_key(dict(row._mapping)) for row in found]
