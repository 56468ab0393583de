"""`/platform/usage`: what the rollups hold, by every dimension; the same as CSV; and no figure where there is none."""

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes.console import RunningConsole
from tests.fakes.used import a_use, reader, rows, words
from trunkline.ir.usage import Usage

PATH = "/platform/usage"
OTHER = "other/<b>beta</b>:azure"


@pytest.fixture(scope="module")
def filled(console: RunningConsole) -> RunningConsole:
    """Today alpha twice (one key each) and beta once, some of it estimated; ten days ago alpha once."""
    console.keep(
        a_use(1, key_id="key_1"),
        a_use(2, key_id="=cmd", protocol="gemini"),
        a_use(3, offer=OTHER, usage=Usage(input_tokens=100, output_tokens=20, reasoning_tokens=5, estimated=True)),
        a_use(4, ago_h=240),
    )
    return console


@pytest.fixture
def people(filled: RunningConsole):
    with reader(filled) as client:
        yield client


def table(page: str) -> dict[str, list[str]]:
    """Name -> cells of the table of shares."""
    return {row[0]: row[1:] for row in rows(page) if len(row) > 5}


def chart(page: str) -> dict:
    found = re.search(r'id="over-time".*?<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_nobody_sees_it_without_signing_in(console: RunningConsole):
    with console.client(None, accept="text/html") as nobody:
        answer = nobody.get(f"{PATH}?by=key")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?next=%2Fplatform%2Fusage%3Fby%3Dkey"


def test_an_api_key_alone_opens_no_page(client):
    assert client.get(PATH).status_code == 303


def test_each_model_has_its_row_and_its_share(people):
    answer = people.get(PATH)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    alpha, beta = table(answer.text)["acme/alpha"], table(answer.text)["other/<b>beta</b>"]
    assert alpha[:6] == ["3K", "96.00 %", "2K", "800", "1K", "2"]
    assert beta[:6] == ["125", "4.00 %", "100", "0", "25", "1"]
    assert beta[7] == "1", "estimated"


def test_the_whole_stands_above(people):
    text = words(people.get(PATH).text)
    assert "Requests 3 +" in text
    assert "Of it cached 38.10 %" in text
    assert "Estimated 33.33 %" in text


def test_names_of_callers_are_escaped(people):
    page = people.get(PATH).text
    assert "<b>beta</b>" not in page


def test_each_token_is_of_one_type(people):
    kinds = {row[0]: row[1] for row in rows(people.get(PATH).text) if len(row) == 4}
    assert kinds["Cache read"] == "800"
    assert kinds["Reasoning"] == "5"
    assert kinds["Input"] == "1.3K"


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("provider", {"Acme & Sons", "Azure"}),
        ("key", {"key_1", "=cmd"}),
        ("protocol", {"OpenAI Chat Completions", "Google Gemini"}),
    ],
)
def test_it_can_be_shown_by_any_dimension(people, by, names):
    assert set(table(people.get(f"{PATH}?by={by}").text)) - {"Model"} >= names


def test_by_type_the_chart_has_the_types(people):
    series = chart(people.get(f"{PATH}?by=type&days=7").text)["series"]
    assert [one["name"] for one in series] == ["Input", "Output", "Cache read", "Reasoning"]


def test_bars_add_up_to_the_whole_and_every_day_has_its_place(people):
    drawn = chart(people.get(f"{PATH}?days=30").text)
    assert len(drawn["x"]) == 30
    assert drawn["kind"] == "bars"
    assert drawn["utc"] is True
    assert sum(sum(one["values"]) for one in drawn["series"]) == 3 * 1500 + 125


def test_hours_are_shown_of_a_day(people):
    drawn = chart(people.get(f"{PATH}?days=1").text)
    assert len(drawn["x"]) == 24
    assert sum(sum(one["values"]) for one in drawn["series"]) == 2 * 1500 + 125


def test_another_measure_changes_bars_shares_and_order(people):
    page = people.get(f"{PATH}?metric=requests&by=model").text
    assert table(page)["acme/alpha"][:2] == ["2", "66.67 %"]


def test_a_filter_leaves_only_what_it_means(people):
    page = people.get(f"{PATH}?model=acme/alpha&key=%3Dcmd").text
    assert set(table(page)) == {"Model", "acme/alpha"}
    assert "Requests 1" in words(page)
    assert '<option value="=cmd" selected>' in page


def test_a_row_leads_to_itself_alone_and_to_its_log(people):
    page = people.get(f"{PATH}?days=7&provider=acme").text.replace("&amp;", "&")
    assert f'href="{PATH}?days=7&by=provider&metric=tokens&width=day&provider=acme&model=acme%2Falpha"' in page
    logs = re.search(r'href="(/platform/logs\?[^"]*provider=acme[^"]*model=acme%2Falpha[^"]*)"', page)
    assert logs
    assert people.get(logs[1]).status_code == 200


def test_every_link_of_the_page_that_stays_on_it_works(people):
    links = {link.replace("&amp;", "&") for link in re.findall(rf'href="({PATH}\?[^"]*)"', people.get(PATH).text)}
    assert len(links) > 10
    assert {people.get(link).status_code for link in links} == {200}


def test_what_moved_most_is_told_against_the_time_before(people):
    moved = [row for row in rows(people.get(f"{PATH}?days=7").text) if len(row) == 4]
    assert ["acme/alpha", "1.5K", "3K", "▲ +100 %"] in moved
    assert ["other/<b>beta</b>", "0", "125", "▲ new"] in moved


def test_own_dates_go_before_the_preset(people):
    day = (datetime.now(UTC) - timedelta(days=10)).date()
    page = people.get(f"{PATH}?days=7&from={day}&to={day}").text
    assert table(page)["acme/alpha"][0] == "1.5K"
    assert len(chart(page)["x"]) == 24
    assert f"{day}, in UTC" in words(page)


def test_the_csv_is_what_is_seen_with_exact_values(people):
    answer = people.get(f"{PATH}?format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert re.fullmatch(
        r'attachment; filename="trunkline-usage-by-model-[-0-9]{21}\.csv"', answer.headers["content-disposition"]
    )
    found = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["Model"], row["Tokens"], row["Requests"], row["Before"]) for row in found] == [
        ("acme/alpha", "3000", "2", "1500"),
        ("other/<b>beta</b>", "125", "1", "0"),
    ]
    assert float(found[0]["Share"]) == 3000 / 3125


def test_the_csv_over_time_has_the_bars(people):
    answer = people.get(f"{PATH}?format=csv&part=time&days=30")
    found = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(found) == 30
    assert sum(int(row["acme/alpha"]) for row in found) == 4500
    assert found[0]["Start (UTC)"].endswith("T00:00Z")


def test_a_key_whose_name_is_a_formula_is_text_in_the_csv(people):
    found = list(csv.DictReader(io.StringIO(people.get(f"{PATH}?by=key&format=csv").text)))
    assert {row["API key"] for row in found} == {"key_1", "'=cmd"}


def test_where_a_filter_matches_nothing_the_page_says_so_and_leads_on(people):
    page = people.get(f"{PATH}?model=acme/none").text
    assert "Nothing matches in this time" in page
    assert "Clear filters" in page
    assert "over-time" not in page


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("by=colour", "by is one of model, provider, key, protocol, type"),
        ("metric=love", "metric is one of tokens"),
        ("days=8", "days is one of 1, 7, 30, 90"),
        ("width=minute", "width is hour or day"),
        ("days=90&width=hour", "Hours can be shown of at most 8 days"),
        ("from=yesterday", "from is a date such as 2026-01-31"),
        ("from=2026-02-30", "from is a date"),
        ("from=2025-02-02&to=2025-01-01", "later than to"),
        ("to=2999-01-01", "later than today"),
        ("from=0001-01-01&to=0001-01-02", "days are counted from 1970-01-01"),
        ("from=2001-01-01&to=2026-01-01", "At most 366 days"),
        ("format=xml", "format is html or csv"),
        (f"model={'x' * 201}", "model is longer than 200 characters"),
    ],
)
def test_wrong_input_is_a_400_with_words(people, query, said):
    answer = people.get(f"{PATH}?{query}")
    assert answer.status_code == 400
    assert said in words(answer.text)


def test_an_empty_store_leads_to_the_first_request(tmp_path_factory):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder))
        with reader(running) as client:
            page = client.get(PATH).text
        running.stop()
    assert "Nothing was used in this time" in page
    assert 'href="/platform/chat"' in page
