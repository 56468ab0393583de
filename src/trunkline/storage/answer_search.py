"""Finds a record by the id of its answer. In: a connection, an id. Out: the newest such row of `records`, or None."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Row, Select, func, literal_column, select

from trunkline.storage.answer_index import hash_of
from trunkline.storage.columns import RECORD_COLUMNS
from trunkline.storage.schema import answer_index, records

_RECORD = tuple(records.c[name] for name in RECORD_COLUMNS)
_ROWID: ColumnElement[int] = literal_column("records.rowid", Integer)
_NEWEST_FIRST = answer_index.c.number.desc()
_MARK = select(answer_index.c.last_id).order_by(_NEWEST_FIRST).limit(1)


def newest_with_answer(connection: Connection, answer_id: str) -> Row[Any] | None:
    """PostgreSQL has an index of the ids, SQLite one of hashes (see `answer_index`)."""
    if not answer_id:
        return None
    # The second condition is that of PostgreSQL's index, which is not used without it.
    query = (
        select(*_RECORD)
        .where(records.c.answer_id == answer_id, records.c.answer_id != "")
        .order_by((records.c.received_ms + 0).desc())
        .limit(1)
    )
    if connection.dialect.name == "postgresql":
        return connection.execute(query).first()
    return _in_tail(connection, query) or _in_stretches(connection, query, hash_of(answer_id))


def _in_tail(connection: Connection, query: Select[Any]) -> Row[Any] | None:
    """Of the records that are in no row of the index yet."""
    mark = _place(connection, connection.execute(_MARK).scalar())
    return connection.execute(query.where((mark or 0) < _ROWID)).first()


def _in_stretches(connection: Connection, query: Select[Any], answer_hash: bytes) -> Row[Any] | None:
    """The newest stretch of records that has it. Some have the hash only."""
    index = answer_index.c
    with_it = (
        select(index.last_id, index.records).where(func.instr(index.hashes, answer_hash) > 0).order_by(_NEWEST_FIRST)
    )
    for last_id, count in connection.execute(with_it):
        # Not the rows' numbers of then: a copy of the store may number them anew.
        last = _place(connection, last_id)
        if last is not None:
            found = connection.execute(query.where(last - count < _ROWID, last >= _ROWID)).first()
            if found is not None:
                return found
    return None


def _place(connection: Connection, id_: str | None) -> int | None:
    found: int | None = connection.execute(select(_ROWID).select_from(records).where(records.c.id == id_)).scalar()
    return found
