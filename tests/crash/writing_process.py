"""Writes records until it is killed, and prints what it did and when: `intent|end|stored NUMBER MONOTONIC_SECONDS`.

In: the path of the store. A request lasts some rounds, so that there are always a few with an intent and no end.
"""

import asyncio
import sys
import time
from pathlib import Path

from tests.fakes.records import a_record, an_intent
from trunkline.records.writer import RecordWriter
from trunkline.storage.sqlite_batch import SqliteBatch

OPEN_REQUESTS = 5
PAUSE_S = 0.002


def tell(what: str, number: int) -> None:
    sys.stdout.write(f"{what} {number} {time.monotonic()}\n")
    sys.stdout.flush()


async def tell_stored(writer: RecordWriter, number: int) -> None:
    await writer.flushed()
    tell("stored", number)


async def work(writer: RecordWriter) -> None:
    writer.start()
    waiting: set[asyncio.Task[None]] = set()
    for number in range(1_000_000):
        await writer.room()
        writer.intend(an_intent(number))
        tell("intent", number)
        if number >= OPEN_REQUESTS:
            writer.end(a_record(number - OPEN_REQUESTS))
            tell("end", number - OPEN_REQUESTS)
        if number % 20 == 10:
            task = asyncio.create_task(tell_stored(writer, number - OPEN_REQUESTS))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    asyncio.run(work(RecordWriter(lambda: SqliteBatch(path))))
