"""Writes records to a disk that is full for a while: the file size limit of this process plays the disk. In: the path of
the store. Prints the error while it is full, then how much was written and failed."""

import asyncio
import resource
import signal
import sys
from pathlib import Path

from tests.fakes.records import a_record, until
from trunkline.records.writer import RecordWriter
from trunkline.storage.sqlite_batch import SqliteBatch

RECORDS = 500
FULL_AT_BYTES = 200_000


async def work(path: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_AT_BYTES, resource.RLIM_INFINITY))
    writer = RecordWriter(lambda: SqliteBatch(path))
    writer.start()
    for number in range(RECORDS):
        writer.end(a_record(number))
        await asyncio.sleep(0)
    await until(lambda: writer.stats().failures > 0)
    print(writer.stats().last_error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await writer.flushed()
    writer.stop()


asyncio.run(work(Path(sys.argv[1])))
