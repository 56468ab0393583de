"""Records as CSV, JSON lines and Parquet."""

import csv
import io
import sys
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pyarrow.parquet
import pytest

from tests.fakes.records import START_MS, a_record
from trunkline.errors import ConfigError
from trunkline.records.export import FIELDS, GROUP_ROWS, WRITERS
from trunkline.records.types import Record


def written(format_, *pieces):
    writer = WRITERS[format_]()
    return b"".join([writer.start(), *(writer.add(piece) for piece in pieces), writer.end()])


def test_a_csv_file_has_a_row_per_request_with_exact_money_and_utc():
    text = written("csv", [a_record(1, cost_pico_usd=1)], [a_record(2, first_token_ms=None)]).decode()
    first, second = csv.DictReader(io.StringIO(text))
    assert list(first) == [field.name for field in FIELDS]
    assert (first["id"], first["received_at"], first["cost_usd"]) == (
        "req_000001",
        "2026-01-01T00:00:00.001Z",
        "0.000000000001",
    )
    assert (first["input_tokens"], first["cache_read_tokens"], first["attempts"]) == ("100", "7", "2")
    assert (first["first_token_ms"], second["first_token_ms"], first["duration_ms"]) == ("306.0", "", "906.5")


def test_no_cell_of_a_csv_file_is_a_formula():
    text = written("csv", [a_record(1, app_title="=1+1", user_agent="@x", session_id="-1")]).decode()
    row = next(csv.DictReader(io.StringIO(text)))
    assert (row["app_title"], row["user_agent"], row["session_id"]) == ("'=1+1", "'@x", "-1")


def test_json_lines_hold_whole_records():
    lines = written("jsonl", [a_record(1)], [a_record(2)]).splitlines()
    assert [msgspec.json.decode(line, type=Record) for line in lines] == [a_record(1), a_record(2)]


def test_a_parquet_file_has_types_and_a_group_for_every_ten_thousand():
    many = [a_record(number) for number in range(GROUP_ROWS + 1)]
    file = pyarrow.parquet.ParquetFile(io.BytesIO(written("parquet", many[:GROUP_ROWS], many[GROUP_ROWS:])))
    assert file.metadata.num_row_groups == 2
    rows = file.read().to_pylist()
    assert len(rows) == GROUP_ROWS + 1
    assert rows[0]["cost_usd"] == Decimal(a_record(0).cost_pico_usd) / 10**12
    assert rows[0]["received_at"] == datetime.fromtimestamp(int(START_MS) / 1000, UTC)
    assert (rows[0]["streamed"], rows[0]["output_tokens"], rows[0]["first_token_ms"]) == (True, 50, 306.0)


@pytest.mark.parametrize("format_", WRITERS)
def test_nothing_is_a_file_too(format_):
    file = written(format_)
    if format_ == "parquet":
        assert pyarrow.parquet.read_table(io.BytesIO(file)).num_rows == 0
    else:
        assert len(file.splitlines()) == (format_ == "csv")


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_half_a_character_does_not_stop_an_export(format_):
    assert written(format_, [a_record(1, model="a\ud800")])


def test_parquet_without_its_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'trunkline\[parquet\]'"):
        WRITERS["parquet"]()
