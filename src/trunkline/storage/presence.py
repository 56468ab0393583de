"""Which gateways live, on PostgreSQL. In: the store, this gateway's name. Out: a sign of life every few seconds; the intents of those that are gone, closed;
figures that nobody folded, folded.

A gateway is gone when its row has not changed for `GONE_AFTER_S` of this one's own time, through which this one could read the store: so no clocks are
compared, and an outage of the store makes nobody dead. Whoever finds it takes its intents in one transaction, so they are closed once.
"""

import threading
import time
from collections.abc import Callable

import asyncpg

from trunkline.errors import StoreError
from trunkline.storage.postgres import Blocking
from trunkline.storage.postgres_rollups import ANY_LEFT
from trunkline.storage.postgres_statements import NOW_MS
from trunkline.storage.url import PostgresStore

BEAT_EVERY_S = 3.0
GONE_AFTER_S = 18.0
"""Six signs of life."""
_BEAT = (
    f"INSERT INTO gateways (id, started_ms, seen_ms, beats) VALUES ($1, {NOW_MS}, {NOW_MS}, 1) "  # noqa: S608 - of ours
    f"ON CONFLICT (id) DO UPDATE SET seen_ms = {NOW_MS}, beats = gateways.beats + 1"
)
_LEAVE = "DELETE FROM gateways WHERE id = $1"
# An intent whose gateway has no row: it died between two statements of this file.
_OTHERS = (
    "SELECT id, beats FROM gateways WHERE id <> $1 UNION ALL SELECT DISTINCT gateway, -1 FROM intents "
    "WHERE gateway <> $1 AND gateway NOT IN (SELECT id FROM gateways)"
)
_TAKE_ROW = "DELETE FROM gateways WHERE id = $1 AND beats = $2 RETURNING id"
_TAKE_INTENTS = "UPDATE intents SET gateway = $2 WHERE gateway = $1"


class Presence:
    """Lives as long as the gateway. `close_intents` is given a name under which intents are that nobody will end, `fold_left` is called where
    figures are left that nobody folded, both in the thread of this."""

    def __init__(
        self,
        store: PostgresStore,
        gateway: str,
        close_intents: Callable[[str], None],
        on_error: Callable[[str], None] = lambda _: None,
        *,
        fold_left: Callable[[], None] = lambda: None,
        every_s: float = BEAT_EVERY_S,
        gone_after_s: float = GONE_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._close_intents = close_intents
        self._on_error = on_error
        self._fold_left = fold_left
        self._every_s = every_s
        self._gone_after_s = gone_after_s
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}
        """Gateway -> its beats, and since when they have been so many."""
        self._looked_at: float | None = None
        self._connection: Blocking | None = None
        self._told = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        """Show that this gateway lives, now and from now on. StoreError where the store does not take it now."""
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        """It goes, and leaves no intents behind that would be somebody's to close."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self._open().fetch(_LEAVE, self._gateway)
        except StoreError as error:
            self._on_error(str(error))
        self._let_go()

    def beat(self) -> None:
        """A sign of life."""
        self._open().fetch(_BEAT, self._gateway)

    def look(self) -> None:
        """Take the intents of those that are gone, and close them; fold what they left, which a gateway that is idle would not."""
        now = self._clock()
        if self._looked_at is None or now - self._looked_at > 3 * self._every_s:
            # The store, or this process, was away: the others may have been as well.
            self._seen.clear()
        others = {row[0]: row[1] for row in self._open().fetch(_OTHERS, self._gateway)}
        self._looked_at = now
        self._seen = {
            id_: self._seen[id_] if self._seen.get(id_, (None,))[0] == beats else (beats, now)
            for id_, beats in others.items()
        }
        for id_, (beats, since) in self._seen.items():
            if now - since >= self._gone_after_s:
                self._take(id_, beats)
        if self._open().fetch(ANY_LEFT):
            self._fold_left()

    def _take(self, id_: str, beats: int) -> None:
        taken = f"{id_.partition(' ')[0]} taken by {self._gateway}"

        async def take(connection: asyncpg.Connection) -> bool:
            async with connection.transaction():
                # One that shows life at this moment keeps its row, and its intents.
                if beats >= 0 and not await connection.fetch(_TAKE_ROW, id_, beats):
                    return False
                await connection.execute(_TAKE_INTENTS, id_, taken)
                return True

        if self._open().ask(take):
            self._close_intents(taken)

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                self.beat()
                self.look()
                self._told = ""
            except Exception as error:  # noqa: BLE001 - a background loop: it is tried again in some seconds
                self._let_go()
                told, self._told = self._told, str(error) or type(error).__name__
                if told != self._told:
                    self._on_error(self._told)

    def _open(self) -> Blocking:
        if self._connection is None or self._connection.is_closed:
            self._let_go()
            self._connection = Blocking(self._store)
        return self._connection

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
