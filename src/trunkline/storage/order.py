"""The order in which records came to the store, for what is new since. In: a connection. Out: a mark, and conditions on `records`, for both stores.

SQLite numbers its rows. PostgreSQL knows which transaction stored a row, and which is the oldest that is still under way: all below that are complete,
so a record of a slow transaction is neither missed nor found twice.
"""

from sqlalchemy import ColumnElement, Connection, Integer, and_, func, literal_column, select, text

from trunkline.storage.schema import records

_ROWID: ColumnElement[int] = literal_column("records.rowid", Integer)
_STORED_BY: ColumnElement[int] = literal_column("records.stored_by", Integer)
_COMPLETE = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
TAIL_ROWS = 5_000
_TAIL_TRANSACTIONS = 1_000
"""Each stores up to some hundred records, mostly a few."""


def newest(connection: Connection) -> int:
    """The mark of the record that was stored last."""
    if connection.dialect.name == "postgresql":
        return int(connection.execute(_COMPLETE).scalar_one())
    found: int | None = connection.execute(select(func.max(_ROWID)).select_from(records)).scalar()
    return found or 0


def stored_between(connection: Connection, mark: int, until: int) -> ColumnElement[bool]:
    """Stored after a mark, up to another one; of a flood only the last."""
    if connection.dialect.name == "postgresql":
        return and_(max(mark, until - _TAIL_TRANSACTIONS) <= _STORED_BY, until > _STORED_BY)
    return and_(max(mark, until - TAIL_ROWS) < _ROWID, until >= _ROWID)


def is_whole(connection: Connection, mark: int, until: int) -> bool:
    """Whether `stored_between` looks at all that was stored."""
    return until - mark <= (_TAIL_TRANSACTIONS if connection.dialect.name == "postgresql" else TAIL_ROWS)
