"""Statements for many rows at once, on the driver. In: a table, its columns, rows. Out: few calls of SQLite.

SQLite gives the interpreter's lock away for each statement, and getting it back from a busy event loop costs more than the row itself.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

_CHUNKS = (64, 32, 16, 8, 4, 2, 1)
"""Rows a statement, halved so that any rest takes few. 64 rows stay far below SQLite's limit of variables."""


class Rows:
    """A statement for each size of chunk."""

    def __init__(self, head: str, row: str, tail: str = "") -> None:
        self._statements = [(size, f"{head}{', '.join([row] * size)}{tail}") for size in _CHUNKS]

    def run(self, connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """How many rows were changed."""
        done = changed = 0
        for size, statement in self._statements:
            while len(rows) - done >= size:
                chunk = rows[done : done + size]
                changed += connection.execute(statement, [value for row in chunk for value in row]).rowcount
                done += size
        return changed


def insert(table: str, columns: Sequence[str], conflict: str = "") -> Rows:
    """`conflict` is what follows ON CONFLICT; without it one is an error."""
    # S608: names are constants of ours.
    head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608
    return Rows(head, f"({', '.join('?' * len(columns))})", f" ON CONFLICT {conflict}" if conflict else "")
