"""A table as a page shows it and as a CSV file has it: the same columns and rows. In: columns, rows. Out: cells; a CSV answer.

CSV as `records.spreadsheet` has it.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

import msgspec
from fastapi import Response

from trunkline.records.spreadsheet import Cell, guarded

Row = TypeVar("Row")


class Column(msgspec.Struct, Generic[Row], frozen=True):
    """`exact` goes into the file, and into the title of what is `seen`; `note` says more about the heading, and `head` is the page's where it differs."""

    heading: str
    exact: Callable[[Row], Cell]
    seen: Callable[[Row], str]
    note: str = ""
    head: str = ""

    def title(self, row: Row) -> str:
        """The exact value, for people: with separators."""
        value = self.exact(row)
        return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)


def csv_file(name: str, columns: Sequence[Column[Row]], rows: Iterable[Row]) -> Response:
    """The answer that a browser saves."""
    cells = ([column.exact(row) for column in columns] for row in rows)
    return csv_answer(name, [column.heading for column in columns], cells)


def csv_answer(name: str, headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Response:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([guarded(heading) for heading in headings])
    writer.writerows([guarded(cell) for cell in row] for row in rows)
    headers = {"content-disposition": f'attachment; filename="{name}.csv"', "cache-control": "no-store"}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8; header=present", headers=headers)
