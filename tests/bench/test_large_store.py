"""The store that the bench of the pages makes is one that the gateway could have made."""

import time
from contextlib import closing
from pathlib import Path

import pytest

from bench.large_store import DAY_S, DAYS, fill
from trunkline.catalog.load import shipped_catalog
from trunkline.storage import migrate
from trunkline.storage.ladder import Span
from trunkline.storage.queries import Store
from trunkline.storage.sqlite_batch import SqliteBatch
from trunkline.storage.statistics import Statistics

A_DAY = 20


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "trunkline.db"
    migrate.upgrade(f"sqlite:///{path}")
    fill(path, shipped_catalog().models["openai/o4-mini"].offers, A_DAY * DAYS)
    return path


async def test_every_day_has_its_records_and_figures(path: Path) -> None:
    midnight_s = int(time.time()) // DAY_S * DAY_S
    async with await Store.open(f"sqlite:///{path}") as store:
        use = await Statistics(store, lambda: time.time() * 1000).use(
            Span(midnight_s - 88 * DAY_S, midnight_s), (), daily=True
        )
    assert [row.use.requests for row in use] == [A_DAY] * 88


def test_the_writer_finds_nothing_left_to_fold(path: Path) -> None:
    with closing(SqliteBatch(path)) as batch:
        assert batch.fold(time.time() * 1000)
    assert not path.with_name("day.db").exists()
