"""Statements for many rows at once, on the driver. In: a table, its columns, rows. Out: few calls of SQLite.

SQLite gives the interpreter's lock away for each statement, and getting it back from a busy event loop costs more than the row itself.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

_CHUNKS = (32, 16, 8, 4, 2, 1)
"""Rows a statement, halved so that any rest takes few. Rows may be made as they are taken: so many keep the lock for a moment only."""


class Rows:
    """A statement for each size of chunk."""

    def __init__(self, head: str, row: str, tail: str = "") -> None:
        self._statements = [(size, f"{head}{', '.join([row] * size)}{tail}") for size in _CHUNKS]

    def run(self, connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> int:
        """How many rows were changed."""
        changed, rest = 0, iter(rows)
        while some := list(islice(rest, _CHUNKS[0])):
            done = 0
            for size, statement in self._statements:
                if len(some) - done >= size:
                    values = list(chain.from_iterable(some[done : done + size]))
                    changed += connection.execute(statement, values).rowcount
                    done += size
        return changed


def insert(table: str, columns: Sequence[str], conflict: str = "", fixed: Mapping[str, str] | None = None) -> Rows:
    """`conflict` is what follows ON CONFLICT; without it one is an error. `fixed` are further columns, with what all rows have there as SQL."""
    more = fixed or {}
    # S608: names are constants of ours.
    head = f"INSERT INTO {table} ({', '.join((*columns, *more))}) VALUES "  # noqa: S608
    row = ", ".join((*"?" * len(columns), *more.values()))
    return Rows(head, f"({row})", f" ON CONFLICT {conflict}" if conflict else "")
