"""One page of several processes' metrics, read back by Prometheus' own parser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from trunkline.telemetry.merging import MEAN, Merging
from trunkline.telemetry.text import Family, histogram_lines, line, render

LABELS = (("model", 'acme/"a b" 1'),)


def merged(*pages: bytes, gone: tuple[bytes, ...] = (), rules: dict | None = None) -> bytes:
    merging = Merging(rules or {})
    for page in pages:
        list(merging.take(page))
    for page in gone:
        list(merging.take(page, is_gone=True))
    return b"".join(merging.pages())


def values(page: bytes) -> dict[tuple[str, str], float]:
    found = [sample for family in text_string_to_metric_families(page.decode()) for sample in family.samples]
    return {(one.name, one.labels.get("le", "")): one.value for one in found}


def counted(value: float) -> bytes:
    return render(Family("asked_total", "counter", "Requests.", [line("asked_total", LABELS, value)]))


def open_now(value: float) -> bytes:
    return render(Family("open", "gauge", "Now.", [line("open", LABELS, value)]))


def test_counters_are_added_up() -> None:
    assert values(merged(counted(2), counted(3))) == {("asked_total", ""): 5}


def test_large_whole_numbers_stay_exact() -> None:
    assert b" 9007199254740995\n" in merged(counted(9_007_199_254_740_993), counted(2))


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=4))
def test_buckets_sums_and_counts_of_histograms_are_added_up(processes: list[list[int]]) -> None:
    def page(counts: list[int]) -> bytes:
        lines = histogram_lines("took", LABELS, (1.0, 2.0), counts, float(sum(counts)))
        return render(Family("took", "histogram", "Seconds.", lines))

    together = [sum(counts) for counts in zip(*processes, strict=True)]
    assert values(merged(*map(page, processes))) == values(page(together))


def test_gauges_become_one_by_their_rule() -> None:
    pages = open_now(1), open_now(3)
    assert values(merged(*pages)) == {("open", ""): 4}
    assert values(merged(*pages, rules={"open": max})) == {("open", ""): 3}
    assert values(merged(*pages, rules={"open": MEAN})) == {("open", ""): 2}


def test_who_is_gone_still_counts_but_holds_nothing_open() -> None:
    page = merged(counted(1) + open_now(1), gone=(counted(2) + open_now(5),))
    assert values(page) == {("asked_total", ""): 3, ("open", ""): 1}


def test_what_one_process_alone_has_is_there_too_each_metric_in_one_piece() -> None:
    page = merged(counted(1), open_now(1) + counted(2))
    assert values(page) == {("asked_total", ""): 3, ("open", ""): 1}
    assert page.count(b"# TYPE asked_total counter\n") == 1
    assert page.count(b"# HELP") == 2


def test_a_page_of_one_process_stays_as_it_is() -> None:
    page = counted(7) + open_now(0.25)
    assert merged(page) == page


@pytest.mark.parametrize("count", [1, 3_000])
def test_long_metrics_come_in_pieces_and_whole(count: int) -> None:
    lines = [line("asked_total", (("n", str(at)),), at) for at in range(count)]
    page = render(Family("asked_total", "counter", "Requests.", lines))
    assert merged(page, page).count(b"\n") == count + 2
