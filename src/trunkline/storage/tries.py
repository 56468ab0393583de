"""How often somebody could not show who they are, counted by all consoles of a store together. In: names, which are hashes. Out: whether one more may be.

A try is taken before it is made and given back where it was right: so no number of them at once, at however many gateways, passes the most.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, bindparam, delete, select, text, update

from trunkline.storage.queries import Store
from trunkline.storage.schema import tries

_times = msgspec.json.Decoder(list[int])
_ROW = text("INSERT INTO tries (name, times, ends_ms) VALUES (:name, '[]', :ends_ms) ON CONFLICT (name) DO NOTHING")


class Most(msgspec.Struct, frozen=True):
    """So many of a name within a time."""

    name: str
    count: int
    within_ms: int


async def take_try(store: Store, all_of: Sequence[Most], now_ms: int) -> Most | None:
    """Count one of each; None where that may be. Else the first that has had its most, and none is counted."""

    def take(connection: Connection) -> Most | None:
        # Writes first, in one order: who takes others at once comes before or after, on both kinds of stores.
        connection.execute(delete(tries).where(tries.c.ends_ms < now_ms))
        for one in sorted(all_of, key=lambda one: one.name):
            connection.execute(_ROW, {"name": one.name, "ends_ms": now_ms + one.within_ms})
        known = {one.name: _recent(connection, one, now_ms) for one in all_of}
        spent = next((one for one in all_of if len(known[one.name]) >= one.count), None)
        for one in sorted(all_of, key=lambda one: one.name):
            times = known[one.name] if spent else [*known[one.name], now_ms]
            _keep(connection, one, times)
        return spent

    return await store.ask(take)


async def give_back_try(store: Store, once: Most, wholly: Sequence[Most], at_ms: int) -> None:
    """It was right: the one try of `once` that was taken at a time; of the others all that were wrong before."""

    def give_back(connection: Connection) -> None:
        for one in sorted((once, *wholly), key=lambda one: one.name):
            connection.execute(_ROW, {"name": one.name, "ends_ms": at_ms + one.within_ms})
            times = _recent(connection, once, at_ms) if one is once else []
            if one is once and at_ms in times:
                times.remove(at_ms)
            _keep(connection, one, times)

    await store.ask(give_back)


async def spent_try(store: Store, all_of: Sequence[Most], now_ms: int) -> Most | None:
    """The first that has had its most; nothing is counted."""
    return await store.ask(
        lambda connection: next((one for one in all_of if len(_recent(connection, one, now_ms)) >= one.count), None)
    )


def _recent(connection: Connection, one: Most, now_ms: int) -> list[int]:
    found = connection.execute(select(tries.c.times).where(tries.c.name == one.name)).scalar()
    return [at for at in _times.decode(found or "[]") if now_ms - at < one.within_ms]


def _keep(connection: Connection, one: Most, times: list[int]) -> None:
    values = {"times": msgspec.json.encode(times[-one.count :]).decode(), "ends_ms": (times or [0])[-1] + one.within_ms}
    connection.execute(update(tries).where(tries.c.name == bindparam("of")).values(values), {"of": one.name})
