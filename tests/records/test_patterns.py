"""Which regular expressions are refused, since some text makes them go back and forth for hours."""

import re

import pytest

from trunkline.records.patterns import danger_of


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+b",
        r"(a|a)*b",
        r"(a|ab)*c",
        r"(\w+\s?)+$",
        r"(?:,?\d+)+x",
        r"(?:a?){30}a{30}",
        "a?" * 30 + "a" * 30,
        r".*x.*y",
        r"\s*\s*x",
        r"[a-z]+[a-z0-9]+!",
        r"(?i)[a]+[A]+b",
        r"[文字]+[字中]+x",
        r"(?=(a+)+b)a",
        r"(?>(a+)+b)",
        r"(x+)\1",
        r"(?i:a)+A+b",
    ],
)
def test_what_may_go_on_without_end_is_refused(pattern):
    re.compile(pattern)
    assert danger_of(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"AC-[0-9]{6}",
        r"acct_[A-Za-z0-9]{8,}",
        r"password\s*[:=]\s*\S+",
        r"(?i)secret: .*",
        r"\d{3}-\d{2}-\d{4}",
        r"\d+-\d+-\d+",
        r"(?:foo|bar)+",
        r"(?:\d{1,3}\.){3}\d{1,3}",
        r"\b[A-Z]{2}\d{2}(?: ?\d{4}){4}\b",
        r"(?>a+)+b",
        r"(?:a++,)+b",
    ],
)
def test_usual_ones_are_taken(pattern):
    assert danger_of(pattern) == ""
