"""Finds captured bodies again, for the console. In: an open store, a request. Out: its views, or None where none are kept."""

import asyncio

from sqlalchemy import Connection, text

from trunkline.records.bodies import DAY_MS, Captured
from trunkline.storage.bodies import opened
from trunkline.storage.body_files import BodyReader, bodies_folder
from trunkline.storage.cipher import Cipher
from trunkline.storage.queries import Store
from trunkline.storage.url import is_postgres

_FIND = text("SELECT key_id, data FROM bodies WHERE day = :day AND id = :id")


async def find_bodies(store: Store, url: str, cipher: Cipher, id_: str, received_ms: float) -> Captured | None:
    """The views of a request that was received then. StoreError where they cannot be read."""
    if not is_postgres(url):
        return await asyncio.to_thread(BodyReader(bodies_folder(url), cipher).find, id_, received_ms)
    place = {"day": int(received_ms // DAY_MS), "id": id_}

    def ask(connection: Connection) -> tuple[str, bytes] | None:
        row = connection.execute(_FIND, place).first()
        return None if row is None else (row[0], row[1])

    row = await store.ask(ask)
    return None if row is None else opened(cipher, id_, *row)
