"""CSV: as RFC 4180 has it, and nothing in it that a spreadsheet runs."""

import csv
import io

import pytest

from trunkline.web.columns import Column, csv_answer, csv_file


def text(*rows: list) -> str:
    return csv_answer("x", ["Name", "Value"], rows).body.decode()


def test_lines_end_with_crlf_and_commas_quotes_and_lines_are_quoted():
    assert text(["a,b", 1], ['say "x"', None], ["two\nlines", 2.5]) == (
        'Name,Value\r\n"a,b",1\r\n"say ""x""",\r\n"two\nlines",2.5\r\n'
    )


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")', "-", "+5"]
)
def test_what_would_be_a_formula_is_text(cell: str):
    (_, row) = csv.reader(io.StringIO(text([cell, 1]), newline=""))
    assert row == [f"'{cell}", "1"]


@pytest.mark.parametrize("cell", [-5, -0.25, "-0.000000000001", "-17"])
def test_a_number_below_zero_stays_a_number(cell: object):
    assert text(["a", cell]).splitlines()[1] == f"a,{cell}"


def test_a_file_has_the_exact_values_of_what_is_seen():
    column = Column("Tokens", lambda row: row, lambda row: f"{row / 1000:.0f}K", head="Seen")
    answer = csv_file("name", [column], [1_234])
    assert answer.body == b"Tokens\r\n1234\r\n"
    assert answer.headers["content-disposition"] == 'attachment; filename="name.csv"'
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert column.title(1_234) == "1,234"
