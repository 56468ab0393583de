"""Only what a dead gateway was at work on is closed, and once, whoever finds it."""

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.fakes.records import a_record, an_intent
from tests.fakes.stores import AnyStore
from trunkline.records.recovery import recover
from trunkline.storage.postgres_rollups import LEFT_AFTER_MS
from trunkline.storage.presence import BEAT_EVERY_S, GONE_AFTER_S, Presence


class Clock:
    """Turned by a test."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gateway(postgres_store: AnyStore, clock: Clock) -> Iterator[Callable[[str], Presence]]:
    """Gateways by their names, which beat and look when a test says so."""
    made: list[Presence] = []

    def make(name: str) -> Presence:
        def close_intents(taken: str) -> None:
            batch = postgres_store.batch(taken)
            recover(batch, 1.0)
            batch.close()

        presence = Presence(postgres_store.store, name, close_intents, clock=clock)
        presence.beat()
        made.append(presence)
        return presence

    yield make
    for presence in made:
        presence._let_go()


def intend(store: AnyStore, name: str, *numbers: int) -> None:
    batch = store.batch(name)
    batch.write([], [an_intent(number) for number in numbers], [])
    batch.close()


def watch(clock: Clock, seconds: float, *presences: Presence) -> None:
    """Let these live on for some time."""
    for _ in range(int(seconds // BEAT_EVERY_S)):
        clock.now_s += BEAT_EVERY_S
        for presence in presences:
            presence.beat()
            presence.look()


def interrupted(store: AnyStore) -> list[str]:
    return [id_ for (id_,) in store.rows("SELECT id FROM records WHERE outcome = 'interrupted' ORDER BY id")]


def test_the_intents_of_a_gateway_that_shows_no_life_become_interrupted_records(postgres_store, gateway, clock):
    living = gateway("gw_living")
    gateway("gw_dead")
    intend(postgres_store, "gw_dead", 1, 2)
    intend(postgres_store, "gw_living", 3)
    watch(clock, GONE_AFTER_S - BEAT_EVERY_S, living)
    assert interrupted(postgres_store) == []
    watch(clock, 3 * BEAT_EVERY_S, living)
    assert interrupted(postgres_store) == ["req_000001", "req_000002"]
    assert postgres_store.rows("SELECT id FROM intents") == [("req_000003",)]
    assert postgres_store.rows("SELECT id FROM gateways") == [("gw_living",)]


def test_gateways_that_live_leave_each_other_alone(postgres_store, gateway, clock):
    first, second = gateway("gw_1"), gateway("gw_2")
    intend(postgres_store, "gw_1", 1)
    intend(postgres_store, "gw_2", 2)
    watch(clock, 5 * GONE_AFTER_S, first, second)
    assert postgres_store.count("intents") == 2
    assert interrupted(postgres_store) == []


def test_after_an_outage_of_the_store_nobody_is_taken_for_dead(postgres_store, gateway, clock):
    first, second = gateway("gw_1"), gateway("gw_2")
    intend(postgres_store, "gw_2", 2)
    watch(clock, 2 * BEAT_EVERY_S, first, second)
    clock.now_s += 600
    # The first one is back before the second.
    watch(clock, GONE_AFTER_S - BEAT_EVERY_S, first)
    watch(clock, 4 * BEAT_EVERY_S, first, second)
    assert interrupted(postgres_store) == []


def test_two_that_find_it_at_once_close_it_once(postgres_store, gateway, clock):
    finders = [gateway("gw_1"), gateway("gw_2")]
    gateway("gw_dead")
    intend(postgres_store, "gw_dead", *range(50))
    watch(clock, GONE_AFTER_S, *finders)
    clock.now_s += BEAT_EVERY_S
    threads = [threading.Thread(target=finder.look) for finder in finders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(interrupted(postgres_store)) == 50
    assert postgres_store.count("intents") == 0
    postgres_store.fold_what_was_left(1.0)
    assert postgres_store.rows("SELECT sum(requests) FROM use_rollups WHERE width_s = 3600") == [(50,)]


def test_one_that_comes_back_at_that_moment_keeps_its_intents(postgres_store, gateway, clock):
    living, late = gateway("gw_living"), gateway("gw_late")
    intend(postgres_store, "gw_late", 1)
    watch(clock, GONE_AFTER_S - BEAT_EVERY_S, living)
    late.beat()
    watch(clock, 3 * BEAT_EVERY_S, living)
    assert interrupted(postgres_store) == []


def test_what_one_that_died_while_closing_them_took_is_closed_by_the_next(postgres_store, gateway, clock):
    living = gateway("gw_living")
    intend(postgres_store, "gw_dead taken by gw_also_dead", 1)
    watch(clock, GONE_AFTER_S + 2 * BEAT_EVERY_S, living)
    assert interrupted(postgres_store) == ["req_000001"]


def test_a_record_that_is_there_stays_as_it_is(postgres_store, gateway, clock):
    living = gateway("gw_living")
    gateway("gw_dead")
    intend(postgres_store, "gw_dead", 1)
    batch = postgres_store.batch("gw_dead")
    batch.write([a_record(1)], [], [])
    batch.close()
    watch(clock, GONE_AFTER_S + 2 * BEAT_EVERY_S, living)
    assert postgres_store.records() == [a_record(1)]
    assert postgres_store.count("intents") == 0


def test_one_that_stops_leaves_no_row(postgres_store):
    presence = Presence(postgres_store.store, "gw_1", lambda _: None, every_s=0.01)
    presence.start()
    assert postgres_store.rows("SELECT id FROM gateways") == [("gw_1",)]
    presence.stop()
    assert postgres_store.count("gateways") == 0


def test_one_that_cannot_reach_the_store_says_so_once_and_goes_on(postgres_store):
    told: list[str] = []
    heard = threading.Event()

    def hear(error: str) -> None:
        told.append(error)
        heard.set()

    presence = Presence(postgres_store.store, "gw_1", lambda _: None, hear, every_s=0.01)
    presence.start()
    postgres_store.execute("ALTER TABLE gateways RENAME TO elsewhere")
    assert heard.wait(20)
    postgres_store.execute("ALTER TABLE elsewhere RENAME TO gateways; DELETE FROM gateways")
    while not postgres_store.count("gateways"):
        pass
    presence.stop()
    assert len(told) == 1
    assert "gateways" in told[0]


def test_what_a_dead_gateway_did_not_fold_is_folded_by_one_that_has_nothing_to_do(postgres_store, clock):
    batch = postgres_store.batch("gw_dead")
    batch.write([a_record(1)], [], [])
    batch.close()
    folded: list[int] = []

    def fold_left() -> None:
        batch = postgres_store.batch("gw_idle")
        batch.fold(1.0)
        batch.close()
        folded.append(postgres_store.count("unfolded"))

    idle = Presence(postgres_store.store, "gw_idle", lambda _: None, fold_left=fold_left, clock=clock)
    idle.beat()
    idle.look()
    assert folded == []
    idle._open().fetch(f"UPDATE unfolded SET at_ms = at_ms - {LEFT_AFTER_MS}")
    idle.look()
    idle.look()
    idle._let_go()
    assert folded == [0]
    assert postgres_store.count("use_rollups") > 0
