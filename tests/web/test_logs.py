"""`/platform/logs`: rows, filters, pages, the live tail, wrong input, and who may look."""

import re
import sqlite3
import time
from contextlib import closing

import msgspec
import pytest

from tests.fakes.console import MASTER_KEY, RunningConsole
from tests.fakes.records import START_MS, a_record
from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost
from trunkline.storage.columns import MADE_UP_UNTIL

COUNT = 120


@pytest.fixture(scope="module")
def people(console):
    """Somebody who has signed in, before a gateway with records."""
    console.keep(*(_record(number) for number in range(COUNT)))
    with console.client(None, accept="text/html") as made:
        answer = made.post("/sign-in", data={"key": MASTER_KEY, "next": "/"})
        made.headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]
        yield made


def _record(number):
    changes = {}
    if number % 10 == 0:
        changes = {"outcome": "error", "status": 502, "finish_reason": "", "error_message": "boom"}
    if number == 77:
        changes = {
            "model": "<script>alert(1)</script>",
            "offer": "a/b:x&y",
            "provider": "x&y",
            "app_title": "Odd App",
            "protocol": "gemini",
        }
    return a_record(number, **changes)


def ids(page):
    return re.findall(r'href="/platform/logs/(req_\d+)"', page.text)


def numbers(page):
    return [int(one[4:]) for one in ids(page)]


def test_the_newest_fifty_are_shown_newest_first(people):
    page = people.get("/platform/logs")
    assert page.status_code == 200
    assert numbers(page) == list(range(COUNT - 1, COUNT - 51, -1))
    for word in ("Timestamp", "Model", "Input", "Output", "Cost", "Latency", "Throughput", "Finish"):
        assert re.search(rf'<th scope="col"[^>]*>{word}</th>', page.text)


def test_a_row_has_its_figures_and_its_bill(people):
    text = people.get("/platform/logs?from=" + str(int(START_MS + 5)) + "&to=" + str(int(START_MS + 6))).text
    for shown in (
        "openai/o4-mini",
        "2 attempts",
        "107",
        "7 cached",
        "140 <span",
        "306 ms",
        "$0.00011",
        "Cache read",
        "Reasoning",
        "Without a price: audio",
    ):
        assert shown in text, shown


def test_pages_lead_both_ways_without_gaps(people):
    first = people.get("/platform/logs")
    second = people.get(_link(first, "next"))
    third = people.get(_link(second, "next"))
    assert numbers(first) + numbers(second) + numbers(third) == list(range(COUNT - 1, -1, -1))
    assert 'rel="next"' not in third.text
    back = people.get(_link(third, "prev"))
    assert numbers(back) == numbers(second)
    assert numbers(people.get(_link(back, "prev"))) == numbers(first)


def _link(page, rel):
    found = re.search(rf'rel="{rel}" href="([^"]+)"', page.text)
    assert found, f"no {rel}"
    return found[1].replace("&amp;", "&")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("outcome=error", 12),
        ("outcome=failed", 12),
        ("finish=stop&outcome=ok", 50),
        ("provider=x%26y", 1),
        ("app=odd", 1),
        ("protocol=gemini", 1),
        ("key=key_1", 50),
        ("key=nobody", 0),
        ("from=2026-01-01T00:00&to=2026-01-02", 50),
        ("to=2025-12-31", 0),
    ],
)
def test_filters_narrow(people, query, expected):
    page = people.get(f"/platform/logs?{query}")
    assert page.status_code == 200
    assert len(ids(page)) == expected


def test_the_range_counts_from_now(people):
    assert "No request fits these filters" in people.get("/platform/logs?range=1h").text


def test_pages_keep_the_filters(people):
    assert "finish=stop" in _link(people.get("/platform/logs?finish=stop"), "next")


def test_an_id_leads_to_its_request(people):
    assert people.get("/platform/logs?id=req_000003").headers["location"] == "/platform/logs/req_000003"
    assert people.get("/platform/logs?id=chatcmpl-3").headers["location"] == "/platform/logs/req_000003"
    assert people.get("/platform/logs?id=req_none").status_code == 404


@pytest.mark.parametrize(
    "query", ["from=yesterday", "to=2026-13-01", "range=5y", "after=x", "before=_", "after=1e300_x"]
)
def test_wrong_input_is_told_in_words(people, query):
    page = people.get(f"/platform/logs?{query}")
    assert page.status_code == 400
    assert "<h1>" in page.text


def test_what_callers_say_is_only_text(people):
    page = people.get("/platform/logs?app=odd").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_nobody_sees_it_without_signing_in(console):
    with console.client(None, accept="text/html") as stranger:
        for path in (
            "/platform/logs",
            "/platform/logs/tail",
            "/platform/logs/req_000001",
            "/platform/logs/req_000001/replay",
        ):
            answer = stranger.get(path)
            assert (answer.status_code, answer.headers["location"].startswith("/sign-in?next=")) == (303, True)


def test_the_tail_brings_what_came_since_and_goes_on_from_there(people, console):
    page = people.get("/platform/logs").text
    asks = _asks(page)
    assert ids(people.get(asks)) == []
    console.keep(a_record(5000, received_ms=START_MS + 5000))
    fresh = people.get(asks)
    assert ids(fresh) == ["req_005000"]
    again = _asks(fresh.text)
    assert ids(people.get(again)) == []


def test_the_tail_says_how_many_it_left_out_where_more_came_than_it_shows(people, console):
    asks = _asks(people.get("/platform/logs").text)
    console.keep(*(a_record(number, received_ms=START_MS + number) for number in range(7000, 7073)))
    fresh = people.get(asks)
    assert numbers(fresh) == list(range(7072, 7022, -1))
    assert "23 more came in between and are not shown" in fresh.text
    assert "more came in between" not in people.get(_asks(fresh.text)).text


def _asks(page):
    return re.search(r'hx-get="(/platform/logs/tail[^"]+)" hx-trigger="every 2s"', page)[1].replace("&amp;", "&")


def test_a_paused_tail_does_not_ask_until_it_goes_on(people):
    page = people.get("/platform/logs/tail?mark=1&paused=1").text
    assert "every 2s" not in page
    assert "Paused: go on" in page


def test_a_tail_that_has_brought_hundreds_loads_the_page_anew(people):
    assert people.get("/platform/logs/tail?mark=0&shown=390").headers["hx-refresh"] == "true"


def test_an_empty_gateway_says_what_to_do(tmp_path_factory):
    running = RunningConsole(tmp_path_factory.mktemp("e"))
    with closing(signed_in_to(running)) as made:
        page = made.get("/platform/logs").text
    running.stop()
    assert "No requests yet" in page
    assert 'href="/platform/chat"' in page


def signed_in_to(console):
    made = console.client(None, accept="text/html")
    answer = made.post("/sign-in", data={"key": MASTER_KEY, "next": "/"})
    made.headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]
    return made


def test_fifty_rows_weigh_little(people):
    assert len(people.get("/platform/logs").content) < 130_000


def test_figures_that_are_not_known_are_a_dash(people, console):
    console.keep(
        msgspec.structs.replace(
            a_record(6000), received_ms=START_MS + 60_000, usage=Usage(), cost=Cost(), cost_pico_usd=0, attempts=(), outcome="error", status=404,
            model="", asked_model="", provider="", plan=(),
        )
    )  # fmt: skip
    row = people.get("/platform/logs").text.split("<tbody>")[1].split("</tr>")[0]
    assert row.count(">-<") >= 3
    assert "error 404" in row


@pytest.mark.parametrize("number", [10**30, 2**63, -1])
def test_a_mark_that_is_none_is_told(people, number):
    assert people.get(f"/platform/logs/tail?mark={number}").status_code == 400


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("2026-01-01T00:30Z", "2026-01-01T00:30"),
        ("2026-01-01T02:30%2B02:00", "2026-01-01T00:30"),
        ("1767227400000", "2026-01-01T00:30"),
        ("2026-01-01", "2026-01-01T00:00"),
        ("0001-01-01", "1970-01-01T00:00"),
        ("999999999999999", "9999-12-31T23:59"),
    ],
)
@pytest.mark.parametrize("name", ["from", "to"])
def test_a_time_however_it_was_written_stands_in_the_form(people, name, said, shown):
    page = people.get(f"/platform/logs?{name}={said}")
    assert page.status_code == 200
    assert f'name="{name}" type="datetime-local" value="{shown}"' in page.text


def test_a_range_stands_in_no_field_of_a_time(people):
    page = people.get("/platform/logs?range=1h").text
    assert re.findall(r'type="datetime-local" value="(.*?)"', page) == ["", ""]


def test_keys_to_choose_from_hold_and_those_of_one_name_differ(people, console):
    with console.client() as operator:
        made = [
            operator.post("/api/v1/management/keys", json={"name": name}).json() for name in ("twin", "twin", "gone")
        ]
        assert operator.delete(f"/api/v1/management/keys/{made[2]['id']}").status_code == 200
    choices = re.search(r'<select id="key".*?</select>', people.get("/platform/logs").text)[0]
    assert re.findall(r">(twin[^<]*)<", choices) == [f"twin (…{one['hint']})" for one in reversed(made[:2])]
    assert "gone" not in choices
    chosen = people.get(f"/platform/logs?key={made[2]['id']}").text
    assert f'<option value="{made[2]["id"]}" selected>gone</option>' in chosen


def test_what_is_made_up_is_said_to_be_where_it_is_seen(people, console):
    paths = ["/platform/logs", "/platform/usage", "/platform/cost", "/status"]
    seen = "What is older than"
    assert not any(seen in people.get(path).text for path in paths)
    with closing(sqlite3.connect(console.folder / "trunkline.db")) as store, store:
        store.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (MADE_UP_UNTIL, str(int(time.time() * 1000))))
    assert all(seen in people.get(path).text for path in paths)
    assert seen not in people.get("/platform/logs?from=2999-01-01").text
    with closing(sqlite3.connect(console.folder / "trunkline.db")) as store, store:
        store.execute("UPDATE meta SET value = '1' WHERE key = ?", (MADE_UP_UNTIL,))
    assert not any(seen in people.get(path).text for path in paths)
