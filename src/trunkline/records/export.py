"""Records as files that other programs read. In: records, piece by piece. Out: bytes of CSV, JSON lines or Parquet, piece by piece.

CSV and Parquet have a row per request; JSON lines are the whole records, with their attempts, plans and losses. Parquet needs pyarrow, which only the extra
`parquet` installs.
"""

import csv
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, Protocol

import msgspec

from trunkline.errors import ConfigError
from trunkline.pricing.money import usd
from trunkline.records.spreadsheet import guarded
from trunkline.records.types import Record

Format = Literal["csv", "jsonl", "parquet"]
Kind = Literal["text", "time", "count", "ms", "yes", "usd"]
_PICO_PLACES = 12
_USD_DIGITS = 38
"""The most that a decimal of 128 bits holds."""
GROUP_ROWS = 10_000
"""Rows of a group in a Parquet file: as many are in memory at once."""


class Field(msgspec.Struct, frozen=True):
    """A column of the files."""

    name: str
    kind: Kind
    of: Callable[[Record], Any]


def _text(name: str) -> Field:
    return Field(name, "text", lambda record: getattr(record, name))


def _count(name: str) -> Field:
    return Field(name, "count", lambda record: getattr(record.usage, name))


FIELDS: tuple[Field, ...] = (
    _text("id"),
    Field("received_at", "time", lambda record: record.received_ms),
    Field("ended_at", "time", lambda record: record.ended_ms),
    _text("outcome"),
    Field("status", "count", lambda record: record.status),
    *(_text(name) for name in ("protocol", "model", "asked_model", "provider", "offer", "answer_id")),
    Field("streamed", "yes", lambda record: record.streamed),
    *(_text(name) for name in ("key_id", "app_title", "app_url", "session_id", "user_agent")),
    Field("first_token_ms", "ms", lambda record: record.first_token_ms),
    Field("duration_ms", "ms", lambda record: record.ended_ms - record.received_ms),
    *(_text(name) for name in ("finish_reason", "error_type", "error_message")),
    *(
        _count(name)
        for name in (
            "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
            "input_audio_tokens", "input_image_tokens", "output_tokens", "reasoning_tokens", "output_audio_tokens",
            "output_image_tokens", "web_searches",
        )
    ),
    Field("estimated", "yes", lambda record: record.usage.estimated or record.cost.estimated),
    Field("cost_usd", "usd", lambda record: record.cost_pico_usd),
    _text("price_version"),
    Field("request_bytes", "count", lambda record: record.request_bytes),
    Field("answer_bytes", "count", lambda record: record.answer_bytes),
    Field("attempts", "count", lambda record: len(record.attempts)),
    Field("simulated", "yes", lambda record: record.simulated),
    _text("prepaid_by"),
)  # fmt: skip


class Writer(Protocol):
    """Writes one file. Lives as long as its export; the pieces, one after the other, are the file."""

    def start(self) -> bytes: ...

    def add(self, records: Sequence[Record]) -> bytes: ...

    def end(self) -> bytes: ...


class CsvWriter:
    """Times in ISO 8601 and UTC, money in USD with every place that it has."""

    def start(self) -> bytes:
        return self._rows([[field.name for field in FIELDS]])

    def add(self, records: Sequence[Record]) -> bytes:
        return self._rows([[guarded(_cell(field, record)) for field in FIELDS] for record in records])

    def end(self) -> bytes:
        return b""

    def _rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n").writerows(rows)
        return text.getvalue().encode("utf-8", "replace")


class JsonLinesWriter:
    """A record per line, as `GET /api/v1/management/records` has it."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()

    def start(self) -> bytes:
        return b""

    def add(self, records: Sequence[Record]) -> bytes:
        return b"".join(self._encoder.encode(record) + b"\n" for record in records)

    def end(self) -> bytes:
        return b""


class ParquetWriter:
    """Times are timestamps in milliseconds and UTC, money is decimal(38, 12) in USD. Compressed with zstd."""

    def __init__(self) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise ConfigError(
                "Parquet needs pyarrow; install it with: pip install 'trunkline[parquet]', or export csv or jsonl"
            ) from error
        self._arrow = pyarrow
        types = {
            "text": pyarrow.string(),
            "time": pyarrow.timestamp("ms", tz="UTC"),
            "count": pyarrow.int64(),
            "ms": pyarrow.float64(),
            "yes": pyarrow.bool_(),
            "usd": pyarrow.decimal128(_USD_DIGITS, _PICO_PLACES),
        }
        self._schema = pyarrow.schema([(field.name, types[field.kind]) for field in FIELDS])
        self._sink = _Sink()
        self._file = pyarrow.parquet.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._waiting: list[Record] = []

    def start(self) -> bytes:
        return self._sink.take()

    def add(self, records: Sequence[Record]) -> bytes:
        self._waiting += records
        if len(self._waiting) >= GROUP_ROWS:
            self._write()
        return self._sink.take()

    def end(self) -> bytes:
        self._write()
        self._file.close()
        return self._sink.take()

    def _write(self) -> None:
        if not self._waiting:
            return
        columns = [
            self._arrow.array([_value(field, record) for record in self._waiting], self._schema.field(field.name).type)
            for field in FIELDS
        ]
        self._file.write_table(self._arrow.Table.from_arrays(columns, schema=self._schema))
        self._waiting = []


class _Sink(io.RawIOBase):
    """A file that is handed on while it is written. Lives as long as its writer."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._length += len(part)
        return len(part)

    def tell(self) -> int:
        return self._length

    def take(self) -> bytes:
        """What was written since the last time."""
        found, self._parts = b"".join(self._parts), []
        return found


WRITERS: dict[Format, Callable[[], Writer]] = {"csv": CsvWriter, "jsonl": JsonLinesWriter, "parquet": ParquetWriter}
MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8; header=present",
    # https://jsonlines.org
    "jsonl": "application/jsonl",
    # https://www.iana.org/assignments/media-types/application/vnd.apache.parquet
    "parquet": "application/vnd.apache.parquet",
}


def _cell(field: Field, record: Record) -> str | int | float | None:
    value = field.of(record)
    match field.kind:
        case "time":
            moment = datetime.fromtimestamp(value / 1000, UTC)
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case "usd":
            return usd(value)
        case "yes":
            return "true" if value else "false"
        case "ms":
            return None if value is None else round(value, 3)
        case _:
            return value  # type: ignore[no-any-return]


def _value(field: Field, record: Record) -> Any:
    value = field.of(record)
    match field.kind:
        case "time":
            return int(value)
        case "usd":
            return Decimal(value).scaleb(-_PICO_PLACES)
        case "text":
            return value.encode("utf-8", "replace").decode()
        case _:
            return value
