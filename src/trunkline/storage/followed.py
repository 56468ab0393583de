"""What gateways follow in the store: keys, budgets, wallets, organisations, stored credentials. In: a transaction. Out: it, with the revision grown.

A gateway reads the revision twice a second and the rest only when that has grown, see `keys_sync`.
"""

from sqlalchemy import Connection, Integer, Text, cast, select, update

from trunkline.storage.columns import KEYS_REVISION
from trunkline.storage.queries import Store
from trunkline.storage.schema import meta


def will_change(connection: Connection) -> None:
    """To be the first statement of a transaction that changes any of it.

    It is a write, so that SQLite waits here for other writers: a transaction that begins with a read cannot (https://www.sqlite.org/isolation.html).
    On PostgreSQL it makes such transactions one after the other, so that what they read stands until they end.
    """
    grown = cast(cast(meta.c.value, Integer) + 1, Text)
    connection.execute(update(meta).where(meta.c.key == KEYS_REVISION).values(value=grown))


async def keys_revision(store: Store) -> int:
    """A number that grows with each change."""
    query = select(meta.c.value).where(meta.c.key == KEYS_REVISION)
    return await store.ask(lambda connection: int(connection.execute(query).scalar_one()))
