"""Bodies on PostgreSQL: found by every console, made by day by whichever gateway comes first, dropped with their days."""

from concurrent.futures import ThreadPoolExecutor

from tests.fakes.records import START_MS
from tests.storage.test_bodies import CIPHER, FULL, captured, keep
from trunkline.records.bodies import DAY_MS
from trunkline.storage.bodies import Bodies
from trunkline.storage.body_files import days_of
from trunkline.storage.body_reading import find_bodies
from trunkline.storage.queries import Store

PARTITIONS = "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'bodies'::regclass ORDER BY 1"
DAY = int(START_MS // DAY_MS)


async def found(url, number, received_ms=START_MS):
    async with await Store.open(url) as store:
        return await find_bodies(store, url, CIPHER, f"req_{number:06}", received_ms)


async def test_what_was_put_is_found_again(any_store):
    bodies = Bodies(days_of(any_store.url), CIPHER, FULL)
    keep(bodies, captured(1), captured(2, data=b"y" * 1500), captured(3, received_ms=START_MS + DAY_MS))
    bodies.close()
    one, two = await found(any_store.url, 1), await found(any_store.url, 2)
    assert one is not None
    assert two is not None
    assert (one.bodies[0].data, two.bodies[0].data) == (b'{"model": "x"}', b"y" * 1500)
    assert await found(any_store.url, 3, START_MS + DAY_MS) is not None
    assert await found(any_store.url, 4) is None
    assert bodies.stats().kept == 3


def test_the_same_twice_is_kept_once(postgres_store):
    for _ in range(2):
        bodies = Bodies(days_of(postgres_store.url), CIPHER, FULL)
        keep(bodies, captured(1))
        bodies.close()
    assert postgres_store.count("bodies") == 1


def test_gateways_that_make_the_same_day_at_once_do_not_disturb_each_other(postgres_store):
    errors: list[str] = []

    def work(gateway):
        bodies = Bodies(days_of(postgres_store.url), CIPHER, FULL, errors.append)
        keep(bodies, *(captured(gateway * 100 + number, received_ms=START_MS + number * DAY_MS) for number in range(5)))
        bodies.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert errors == []
    assert postgres_store.count("bodies") == 20


def test_days_that_are_over_are_dropped_and_the_others_stay(postgres_store):
    bodies = Bodies(days_of(postgres_store.url), CIPHER, FULL, unix_ms=lambda: START_MS + 8 * DAY_MS)
    keep(bodies, captured(1), captured(2, received_ms=START_MS + 2 * DAY_MS))
    bodies.purge()
    bodies.purge()
    assert postgres_store.rows(PARTITIONS) == [(f"bodies_{DAY + ahead}",) for ahead in (1, 2, 3)]
    assert postgres_store.rows("SELECT id FROM bodies") == [("req_000002",)]
    bodies.close()


def test_a_server_that_ended_the_connection_is_told_once_and_tried_again(postgres_store, postgres):
    errors: list[str] = []
    bodies = Bodies(days_of(postgres_store.url), CIPHER, FULL, errors.append)
    keep(bodies, captured(1))
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trunkline'")
    keep(bodies, captured(2))
    bodies.store(1.0)
    bodies.close()
    assert len(errors) <= 1
    assert postgres_store.count("bodies") == 2
