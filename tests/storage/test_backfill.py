"""A made-up past goes into a new store as if it had been served, and the store says so."""

import asyncio
from pathlib import Path

import pytest

from tests.fakes.records import count
from tests.fakes.traffic import NOON_MS, traffic
from trunkline.errors import StoreError
from trunkline.records.figures import Gathered, OfferFigures, Use
from trunkline.records.types import Record
from trunkline.storage import migrate
from trunkline.storage.backfill import backfill, made_up_until_ms
from trunkline.storage.ladder import Span
from trunkline.storage.queries import Store
from trunkline.storage.rebuild import rebuild
from trunkline.storage.sqlite_batch import SqliteBatch
from trunkline.storage.statistics import Statistics
from trunkline.storage.writer_claim import WriterClaim

DAYS = 20
SPAN = Span(int(NOON_MS // 1000) - (DAYS + 1) * 86_400, int(NOON_MS // 1000) + 60)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return traffic(4_500, over_s=DAYS * 86_400)


@pytest.fixture
def url(tmp_path: Path) -> str:
    made = f"sqlite:///{tmp_path}/x.db"
    migrate.upgrade(made)
    return made


def offers(url: str) -> dict[str, OfferFigures]:
    async def ask() -> dict[str, OfferFigures]:
        async with await Store.open(url) as store:
            return (await Statistics(store, lambda: NOON_MS).offers(SPAN))[1]

    return asyncio.run(ask())


def requests(url: str) -> Use:
    async def ask() -> Use:
        async with await Store.open(url) as store:
            return (await Statistics(store, lambda: NOON_MS).use(SPAN, ()))[0].use

    return asyncio.run(ask())


def expected(records: list[Record]) -> dict[str, OfferFigures]:
    gathered, whole = Gathered(), dict[str, OfferFigures]()
    gathered.see(records)
    for (_, offer), figures in gathered.offers.items():
        whole.setdefault(offer, OfferFigures()).merge(figures)
    return whole


def test_all_are_in_the_figures_and_the_last_in_the_log(url: str, records: list[Record], tmp_path: Path) -> None:
    assert backfill(url, iter(records), NOON_MS, 100) == len(records)
    assert offers(url) == expected(records)
    assert requests(url).requests == len(records)
    assert count(tmp_path / "x.db", "records") == 100


def test_what_is_served_afterwards_is_added_once(url: str, records: list[Record], tmp_path: Path) -> None:
    backfill(url, iter(records[:-5]), NOON_MS, 100)
    batch = SqliteBatch(tmp_path / "x.db")
    batch.fold(NOON_MS)
    batch.write(records[-5:], (), ())
    batch.fold(NOON_MS)
    batch.close()
    assert offers(url) == expected(records)


def test_the_store_remembers_until_when_it_is_made_up(url: str, records: list[Record]) -> None:
    async def ask() -> int | None:
        async with await Store.open(url) as store:
            return await made_up_until_ms(store)

    assert asyncio.run(ask()) is None
    backfill(url, iter(records[:10]), NOON_MS, 10)
    assert asyncio.run(ask()) == int(NOON_MS)


def test_a_store_with_records_keeps_them_as_they_are(url: str, records: list[Record], tmp_path: Path) -> None:
    batch = SqliteBatch(tmp_path / "x.db")
    batch.write(records[:1], (), ())
    batch.close()
    with pytest.raises(StoreError, match="has records already"):
        backfill(url, iter(records[1:]), NOON_MS, 10)
    assert count(tmp_path / "x.db", "records") == 1
    assert offers(url) == {}


def test_nothing_is_made_up_beside_a_gateway_that_writes(url: str, records: list[Record]) -> None:
    with WriterClaim(url), pytest.raises(StoreError, match="another gateway"):
        backfill(url, iter(records), NOON_MS, 10)


def test_figures_that_are_made_anew_are_those_of_the_records_that_were_kept(url: str, records: list[Record]) -> None:
    backfill(url, iter(records), NOON_MS, 50)
    rebuild(url, NOON_MS, lambda _done, _of: None)
    assert offers(url) == expected(records[-50:])
