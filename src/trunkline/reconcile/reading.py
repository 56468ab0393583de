"""Reads exports' files: JSON, JSON lines or CSV, and the values in them. In: bytes. Out: rows as dicts of text; days; exact money."""

import csv
import io
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from trunkline.reconcile.types import ReconcileError

_PICO = Decimal(10) ** 12


def json_of(data: bytes) -> Any:
    """The value, or of JSON lines the list of them; None for what is neither. Numbers are exact."""
    text = data.removeprefix(b"\xef\xbb\xbf").strip()
    if not text.startswith((b"{", b"[")):
        return None
    decoder = msgspec.json.Decoder(float_hook=Decimal)
    try:
        return decoder.decode(text)
    except msgspec.DecodeError:
        pass
    try:
        return decoder.decode_lines(text)
    except msgspec.DecodeError as error:
        raise ReconcileError(f"the file is neither JSON nor JSON lines: {error}") from error


def table_of(data: bytes) -> list[list[str]]:
    """Of a CSV file, the heading first."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReconcileError("the file is not UTF-8 text") from error
    rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
    if not rows:
        raise ReconcileError("the file is empty")
    return rows


def rows_of(data: bytes) -> tuple[list[str], list[dict[str, str]]]:
    """Headings and rows of a CSV file. Headings are told without regard to case, blanks and punctuation: `lineItem/UsageType` is `lineitemusagetype`."""
    heading, *rows = table_of(data)
    names = [plain(name) for name in heading]
    return names, [dict(zip(names, row, strict=False)) for row in rows]


def plain(name: str) -> str:
    """A heading's letters and digits."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def pick(row: Mapping[str, str], *names: str) -> str:
    """The first of these columns that there is; empty where none is."""
    return next((row[name].strip() for name in names if name in row), "")


def demand_columns(headings: Collection[str], what: str, *choices: tuple[str, ...]) -> None:
    """Raises ReconcileError where of a choice of columns none is there."""
    for choice in choices:
        if not any(name in headings for name in choice):
            raise ReconcileError(f"this is no {what}: it has no column {' or '.join(choice)}")


def count(value: Any, where: str) -> int:
    """A whole number; nothing is 0."""
    if value in (None, ""):
        return 0
    try:
        number = Decimal(str(value).replace(",", ""))
    except InvalidOperation:
        raise ReconcileError(f"{where}: {value!r} is no number") from None
    if not number.is_finite() or number != number.to_integral_value():
        raise ReconcileError(f"{where}: {value!r} is no whole number")
    return int(number)


def pico(value: Any, where: str, unit_usd: Decimal = Decimal(1)) -> int:
    """Money. `unit_usd` is what one of it is worth: 0.01 for cents. Beyond a pico-dollar it is rounded; nothing is 0."""
    if value in (None, ""):
        return 0
    try:
        amount = Decimal(str(value).replace(",", "").replace("$", "").strip())
    except InvalidOperation:
        raise ReconcileError(f"{where}: {value!r} is no amount") from None
    if not amount.is_finite():
        raise ReconcileError(f"{where}: {value!r} is no amount")
    return int((amount * unit_usd * _PICO).to_integral_value())


def day_of(value: Any, where: str) -> str:
    """The day in UTC of Unix seconds, an ISO time, or a date as invoices have it."""
    text = str(value).strip()
    if text.isdigit() and len(text) >= 9:
        return datetime.fromtimestamp(int(text), UTC).date().isoformat()
    for form in ("%m/%d/%Y", "%Y/%m/%d"):
        try:
            return datetime.strptime(text, form).date().isoformat()
        except ValueError:
            continue
    try:
        moment = datetime.fromisoformat(text.removesuffix(" UTC").replace("Z", "+00:00"))
    except ValueError:
        raise ReconcileError(f"{where}: {text!r} is no day") from None
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date().isoformat()


def demand_usd(currency: str, where: str) -> None:
    """Raises ReconcileError for money that cannot be compared."""
    if currency and currency.upper() != "USD":
        raise ReconcileError(f"{where} is in {currency.upper()}; costs can be compared in USD only")


def whole_span(days: Iterable[str]) -> tuple[str, ...]:
    """Every day from the first to the last one."""
    known = sorted(set(days))
    if not known:
        return ()
    first, last = date.fromisoformat(known[0]), date.fromisoformat(known[-1])
    return tuple((first + timedelta(number)).isoformat() for number in range((last - first).days + 1))
