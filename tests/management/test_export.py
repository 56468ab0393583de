"""Records as files, over the management API."""

import io

import pyarrow.parquet
import pytest

from tests.fakes.records import START_MS, a_record

PATH = "/api/v1/management/records/export"


@pytest.fixture(scope="module")
def kept(console):
    console.keep(*(a_record(number) for number in range(2_500)))
    return console


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
def test_every_record_is_a_line_of_the_answer(kept, client, format_):
    answer = client.get(PATH, params={"format": format_, "since": "2026-01-01", "until": "2026-01-02T00:00:00Z"})
    assert answer.headers["content-disposition"] == f'attachment; filename="records.{format_}"'
    assert len(answer.text.splitlines()) == 2_500 + (format_ == "csv")


def test_parquet_comes_as_a_file(kept, client):
    answer = client.get(PATH, params={"format": "parquet", "until": "2027-01-01T00:00:00+02:00"})
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert pyarrow.parquet.read_table(io.BytesIO(answer.content)).num_rows == 2_500


def test_a_time_can_be_narrow(kept, client):
    until = "2026-01-01T00:00:00.010"
    lines = client.get(PATH, params={"format": "jsonl", "until": until}).text.splitlines()
    assert len(lines) == 10, START_MS


def test_what_is_no_format_and_who_has_no_key_is_refused(kept, client):
    assert client.get(PATH, params={"format": "xlsx"}).status_code == 400
    with kept.client(None) as nobody:
        assert nobody.get(PATH).status_code in (401, 403)
