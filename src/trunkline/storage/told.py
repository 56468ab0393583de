"""Which alerts were told, over all consoles of an installation. In: keys. Out: whether it is ours to tell; each is told once.

Whoever is about to tell takes the key for a while (`told_ms` below nothing: minus the end of that time) and then says that it is done. A console that dies
in between leaves the key to the next one.
"""

from sqlalchemy import BigInteger, Connection, Text, delete, insert, literal, select, update

from trunkline.storage.queries import Store
from trunkline.storage.schema import alerts_told

TAKEN_MS = 300_000
"""As long it may take to tell somebody."""
KEEP_MS = 400 * 86_400_000
"""Longer than any period of which is told once."""


async def untold(store: Store, keys: list[str]) -> set[str]:
    """Of these, those that were not told yet; somebody may be about to."""
    query = select(alerts_told.c.key).where(alerts_told.c.key.in_(keys), alerts_told.c.told_ms > 0)
    told = await store.ask(lambda connection: set(connection.execute(query).scalars()))
    return set(keys) - told


async def take(store: Store, key: str, now_ms: int) -> bool:
    """Whether it is ours to tell now."""

    def claim(connection: Connection) -> bool:
        until = -(now_ms + TAKEN_MS)
        lapsed = (alerts_told.c.key == key, alerts_told.c.told_ms < 0, alerts_told.c.told_ms > -now_ms)
        if connection.execute(update(alerts_told).where(*lapsed).values(told_ms=until)).rowcount:
            return True
        there = select(alerts_told.c.key).where(alerts_told.c.key == key).exists()
        new = select(literal(key, Text), literal(until, BigInteger)).where(~there)
        return bool(connection.execute(insert(alerts_told).from_select(["key", "told_ms"], new)).rowcount)

    return await store.ask(claim)


async def done(store: Store, key: str, now_ms: int) -> None:
    """It was told."""
    change = update(alerts_told).where(alerts_told.c.key == key).values(told_ms=now_ms)
    await store.ask(lambda connection: connection.execute(change))


async def give_back(store: Store, key: str) -> None:
    """It could not be told: whoever tries next may."""
    change = delete(alerts_told).where(alerts_told.c.key == key, alerts_told.c.told_ms < 0)
    await store.ask(lambda connection: connection.execute(change))


async def forget_old(store: Store, now_ms: int) -> None:
    """What was told so long ago that it is not found again."""
    old = (alerts_told.c.told_ms > 0, alerts_told.c.told_ms < now_ms - KEEP_MS)
    any_old = select(alerts_told.c.key).where(*old).limit(1)
    # Most of the time there is nothing to do, and then nothing is written.
    if await store.ask(lambda connection: connection.execute(any_old).first()) is not None:
        await store.ask(lambda connection: connection.execute(delete(alerts_told).where(*old)))
