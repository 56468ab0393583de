"""Keeps states until it is killed, each twice, and forgets every third; prints what it did and when: `kept|forgotten|stored NUMBER MONOTONIC_SECONDS`.

In: the path of the store.
"""

import asyncio
import sys
from pathlib import Path

from tests.crash.writing_process import PAUSE_S, tell
from tests.fakes.kept import CIPHER, a_kept
from tests.fakes.records import a_record
from trunkline.records.writer import RecordWriter
from trunkline.storage.sqlite_batch import SqliteBatch


async def work(path: Path) -> None:
    writer = RecordWriter(lambda: SqliteBatch(path, CIPHER.seal))
    writer.start()
    for number in range(1_000_000):
        await writer.room()
        writer.keep(a_kept(f"key {number}", b"old"))
        writer.keep(a_kept(f"key {number}", b"new %d" % number))
        writer.end(a_record(number))
        tell("kept", number)
        if number % 3 == 0:
            writer.forget(f"key {number}")
            tell("forgotten", number)
        await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1])))
