"""Each receiver is told once, over failures, restarts and several consoles."""

import asyncio

import pytest
import structlog

from trunkline.alerts.keeper import AlertKeeper
from trunkline.alerts.types import Alert, UndeliveredError
from trunkline.storage.queries import Store
from trunkline.storage.told import KEEP_MS, TAKEN_MS, done, forget_old, take, untold
from trunkline.web.alerting import StoredMemory

LOG = structlog.get_logger()
OUTAGE = Alert("outage:1", "provider.outage", "acme fails", "", {})
RECOVERED = Alert("recovered:1", "provider.recovered", "acme is up", "", {}, after="outage:1")


class Listener:
    """A receiver that fails as often as it is told to."""

    def __init__(self, name="webhook", failures=0):
        self.name = name
        self.failures = failures
        self.told = []

    async def tell(self, alert, at_ms):
        if self.failures:
            self.failures -= 1
            raise UndeliveredError("not there")
        self.told.append(alert.key)


@pytest.fixture
async def store(any_store):
    async with await Store.open(any_store.url) as store:
        yield store


class Clock:
    now_ms = 1_000_000_000_000.0

    def __call__(self):
        return self.now_ms

    async def sleep(self, seconds):
        self.now_ms += seconds * 1000
        await asyncio.sleep(0)


@pytest.fixture
def clock():
    return Clock()


def keeper(store, clock, alerts, *receivers):
    async def find():
        return alerts

    return AlertKeeper(find, lambda: receivers, StoredMemory(store), clock, LOG, clock.sleep)


async def test_everyone_is_told_once_also_after_a_restart(store, clock):
    webhook, mail = Listener("webhook"), Listener("mail")
    assert await keeper(store, clock, [OUTAGE], webhook, mail).look() == 2
    assert await keeper(store, clock, [OUTAGE], webhook, mail).look() == 0
    assert (webhook.told, mail.told) == ([OUTAGE.key], [OUTAGE.key])


async def test_who_comes_new_is_told_what_goes_on(store, clock):
    await keeper(store, clock, [OUTAGE], Listener("webhook")).look()
    mail = Listener("mail")
    await keeper(store, clock, [OUTAGE], mail).look()
    assert mail.told == [OUTAGE.key]


async def test_a_receiver_that_fails_shortly_is_told_in_the_same_look(store, clock):
    webhook = Listener(failures=2)
    assert await keeper(store, clock, [OUTAGE], webhook).look() == 1


async def test_a_receiver_that_is_away_is_told_later_and_the_others_at_once(store, clock):
    webhook, mail = Listener("webhook", failures=3), Listener("mail")
    kept = keeper(store, clock, [OUTAGE], webhook, mail)
    assert await kept.look() == 1
    assert await kept.look() == 0, "not at once again"
    clock.now_ms += 60_000
    assert await kept.look() == 1
    assert (webhook.told, mail.told) == ([OUTAGE.key], [OUTAGE.key])


async def test_of_two_consoles_one_tells(store, clock):
    webhook = Listener()
    both = [keeper(store, clock, [OUTAGE], webhook) for _ in range(2)]
    assert sum(await asyncio.gather(*(one.look() for one in both))) == 1
    assert webhook.told == [OUTAGE.key]


async def test_what_a_console_that_died_was_about_to_tell_the_next_one_does(store):
    assert await take(store, "k", 1_000)
    assert not await take(store, "k", 1_000 + TAKEN_MS - 1)
    assert await take(store, "k", 1_000 + TAKEN_MS + 1)
    await done(store, "k", 9_000)
    assert not await take(store, "k", 10 * TAKEN_MS)
    assert await untold(store, ["k", "other"]) == {"other"}


async def test_an_end_is_told_only_to_whom_the_beginning_was(store, clock):
    webhook = Listener()
    assert await keeper(store, clock, [RECOVERED], webhook).look() == 0
    await keeper(store, clock, [OUTAGE], webhook).look()
    assert await keeper(store, clock, [RECOVERED], webhook).look() == 1


async def test_what_was_told_long_ago_is_forgotten(store):
    await take(store, "k", 1)
    await done(store, "k", 1_000)
    await forget_old(store, 1_000 + KEEP_MS)
    assert await untold(store, ["k"]) == set()
    await forget_old(store, 1_001 + KEEP_MS)
    assert await untold(store, ["k"]) == {"k"}
