"""SQLite: hashes of the answers' ids, some thousand to a row, instead of an index of them (see `storage/answer_index.py`)."""

import struct
from array import array
from typing import Any
from zlib import crc32

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_STRETCH = 4_096


def upgrade() -> None:
    # On PostgreSQL it stays empty: the index of ids is its server's to keep.
    op.create_table(
        "answer_index",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("last_id", sa.Text, nullable=False),
        sa.Column("records", sa.Integer, nullable=False),
        sa.Column("hashes", sa.LargeBinary, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        cursor = op.get_bind().connection.cursor()
        _fill(cursor)
        # Its pages are only given up, not overwritten: of a large store that would be hundreds of megabytes (https://www.sqlite.org/pragma.html#pragma_secure_delete).
        cursor.execute("PRAGMA secure_delete = FAST")
        cursor.execute("DROP INDEX records_answer_id")
        cursor.close()


def _fill(cursor: Any) -> None:
    """Out of the index, which is a twentieth of the table: seconds for ten million records, and four bytes of memory for each."""
    newest = cursor.execute("SELECT max(rowid) FROM records").fetchone()[0] or 0
    hashes = array("I", bytes(4 * (newest + 1)))
    ids = "SELECT rowid, answer_id FROM records INDEXED BY records_answer_id WHERE answer_id != ''"
    for rowid, answer_id in cursor.execute(ids):
        hashes[rowid] = crc32(answer_id.encode())
    first = 1
    while first <= newest:
        # What has no number any more was deleted by somebody.
        upto = "SELECT rowid, id FROM records WHERE rowid < ? ORDER BY rowid DESC LIMIT 1"
        last, last_id = cursor.execute(upto, (first + _STRETCH,)).fetchone() or (0, "")
        if last >= first:
            some = [one for one in hashes[first : last + 1] if one]
            row = (last_id, last - first + 1, struct.pack(f"<{len(some)}I", *some))
            cursor.execute("INSERT INTO answer_index (last_id, records, hashes) VALUES (?, ?, ?)", row)
        first += _STRETCH
