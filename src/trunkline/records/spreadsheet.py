"""Cells of CSV files (https://www.rfc-editor.org/rfc/rfc4180). In: values. Out: cells that no spreadsheet takes for a formula.

What a caller named may be read as one: such a cell gets an apostrophe before it (https://owasp.org/www-community/attacks/CSV_Injection).
"""

import re

Cell = str | int | float | None
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def guarded(cell: Cell) -> Cell:
    """What is nothing but a number stays one, below zero too; nothing known is an empty cell."""
    if cell is None:
        return ""
    if isinstance(cell, str) and cell.startswith(_FORMULA) and not _PLAIN_NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell
