"""Tells others of records once they are stored. In: a `Batch` and watchers. Out: a `Batch` that does the same. All of it runs in the writer's thread.

So what is made of records for monitoring costs a request nothing, and a record that is not stored is not told.
"""

import contextlib
from collections.abc import Callable, Sequence

from trunkline.records.types import Intent, Record
from trunkline.records.writer import Batch, Change

Watcher = Callable[[Sequence[Record]], None]


class Watched:
    """Lives as long as the connection that it wraps. A watcher's failure concerns nobody else."""

    def __init__(self, batch: Batch, watchers: Sequence[Watcher]) -> None:
        self._batch = batch
        self._watchers = watchers

    def write(
        self,
        records: Sequence[Record],
        intents: Sequence[Intent],
        ended: Sequence[str],
        changes: Sequence[Change] = (),
    ) -> None:
        """One transaction; then the watchers see its records."""
        self._batch.write(records, intents, ended, changes)
        if not records:
            return
        for watcher in self._watchers:
            with contextlib.suppress(Exception):
                watcher(records)

    def fold(self, now_ms: float) -> bool:
        """As the batch does."""
        return self._batch.fold(now_ms)

    def purge(self, now_ms: float, rows: int) -> int:
        """As the batch does."""
        return self._batch.purge(now_ms, rows)

    def close(self) -> None:
        """As the batch does."""
        self._batch.close()
