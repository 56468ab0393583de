"""`/platform/cost`: what was billed, and beside it, said to be so, what is worked out."""

import csv
import io

import pytest

from tests.fakes.console import RunningConsole
from tests.fakes.used import a_use, reader, rows, words
from trunkline.ir.usage import Usage

PATH = "/platform/cost"
MANY = Usage(input_tokens=1_000_000, cache_read_tokens=1_000_000, output_tokens=1_000_000)
GONE = "gone/model:nowhere"


@pytest.fixture(scope="module")
def filled(console: RunningConsole) -> RunningConsole:
    """alpha is $1.10 in, $4.40 out, and has no price for caches; o4-mini's cache read is $0.275."""
    console.keep(
        a_use(1, usage=MANY, usd=6.60),
        a_use(2, usage=MANY, usd=10, ago_h=24 * 9),
        a_use(3, offer="openai/o4-mini:openai", usage=MANY, usd=5.775),
        a_use(4, offer=GONE, usage=MANY, usd=0, unpriced=("prompt",)),
    )
    return console


@pytest.fixture
def people(filled: RunningConsole):
    with reader(filled) as client:
        yield client


def found(people, query: str = "") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(people.get(f"{PATH}?format=csv{query}").text)))


def test_nobody_sees_it_without_signing_in(client):
    assert client.get(PATH).status_code == 303


def test_each_model_has_what_was_billed(people):
    table = {row[0]: row[1:] for row in rows(people.get(PATH).text) if len(row) > 5}
    assert table["acme/alpha"][:6] == ["$6.60", "53.33 %", "3M", "$2.20", "1", "$6.60"]
    assert table["openai/o4-mini"][:4] == ["$5.78", "46.67 %", "3M", "$1.93"]
    assert table["acme/alpha"][-2] == "-34 %"


def test_the_whole_and_a_million_tokens_stand_above(people):
    text = words(people.get(PATH).text)
    assert "Cost $12.38 +24 %" in text
    assert "A million tokens $1.38" in text


def test_what_has_no_price_is_told_and_is_no_zero(people):
    text = words(people.get(PATH).text)
    assert "1 of 3 attempts used something that has no price" in text
    assert "Unpriced 33.33 %" in text


def test_without_such_attempts_nothing_warns(people):
    assert "attempts used something that has no price" not in people.get(f"{PATH}?model=acme/alpha").text


def test_what_caches_saved_is_said_to_be_worked_out(people):
    text = words(people.get(PATH).text)
    assert "Saved by caches $0.82 worked out" in text
    assert "Saved $0.82 worked out" in text
    assert "Not known 1M tokens at offers without a price" in text


def test_savings_are_those_of_the_list_price_less_that_of_the_cache(people):
    saved = {row["Model"]: row["Saved by caches, USD"] for row in found(people)}
    assert saved["openai/o4-mini"] == "0.825", "1.10 - 0.275"
    assert saved["acme/alpha"] == "0", "without a cache price a hit costs what input costs"
    assert saved["gone/model"] == "", "not known"


@pytest.mark.parametrize(
    ("by", "name"), [("provider", "OpenAI"), ("key", "key_1"), ("protocol", "OpenAI Chat Completions")]
)
def test_savings_are_known_by_any_dimension(people, by, name):
    heading = {"provider": "Provider", "key": "API key", "protocol": "Protocol"}[by]
    saved = {row[heading]: row["Saved by caches, USD"] for row in found(people, f"&by={by}")}
    assert saved[name] == "0.825"


def test_by_token_type_it_is_worked_out_and_the_difference_to_the_bills_shown(people):
    page = people.get(f"{PATH}?by=type&model=openai/o4-mini").text
    assert "cost is worked out: tokens times the list prices of today" in words(page)
    parts = {row["Token type"]: row["Worked out, USD"] for row in found(people, "&by=type&model=openai/o4-mini")}
    assert parts == {"Output": "4.4", "Input": "1.1", "Cache read": "0.275"}
    parts = {row["Token type"]: row["Worked out, USD"] for row in found(people, "&by=type&provider=nowhere&days=30")}
    assert parts == {"Input": "0", "Cache read": "0", "Output": "0"}
    long_ago = {row["Token type"]: row["Worked out, USD"] for row in found(people, "&by=type&model=acme/alpha&days=30")}
    assert long_ago["Difference to the bills"] == "3.4", "16.60 were billed, 13.20 are explained"


def test_the_csv_is_exact_to_the_last_digit(people):
    rows = {row["Model"]: row for row in found(people)}
    assert rows["openai/o4-mini"]["Cost, USD"] == "5.775"
    assert rows["openai/o4-mini"]["USD per M tokens"] == "1.925"
    assert rows["acme/alpha"]["Before, USD"] == "10"
    assert rows["gone/model"]["Unpriced"] == "1"


def test_the_csv_over_time_is_in_usd(people):
    text = people.get(f"{PATH}?format=csv&part=time").text
    found = list(csv.DictReader(io.StringIO(text)))
    assert len(found) == 7
    assert [row["acme/alpha"] for row in found if row["acme/alpha"] != "0"] == ["6.6"]


def test_without_cached_tokens_the_page_says_that(console, people):
    console.keep(a_use(9, offer="acme/plain:acme", usage=Usage(input_tokens=5, output_tokens=5), usd=0.01))
    text = words(people.get(f"{PATH}?model=acme/plain").text)
    assert "Saved by caches -" in text
    assert "No tokens were read from a provider's cache" in text


@pytest.mark.parametrize("query", ["by=moon", "metric=tokens", "days=0", "from=1", "format=pdf"])
def test_wrong_input_is_a_400(people, query):
    assert people.get(f"{PATH}?{query}").status_code == 400


def test_of_a_time_without_use_the_page_leads_on(people):
    page = people.get(f"{PATH}?from=2026-01-01&to=2026-01-02").text
    assert "Nothing was used in this time" in page
