"""Writes records until it is killed, as a gateway does, through the journal where the store is away; prints what `writing_process` does.

In: the URL of the store, the folder where records may wait.
"""

import asyncio
import sys
from pathlib import Path

from tests.crash.writing_process import tell, work
from tests.fakes.kept import CIPHER
from trunkline.records.writer import RecordWriter
from trunkline.storage.gateway_store import WritingPlace, opened

MUCH = 100_000_000


def main(url: str, folder: Path) -> None:
    place = WritingPlace(url, folder / "trunkline", folder / "spool", MUCH)
    with opened(place, CIPHER, lambda _: None) as store:
        tell("interrupted", store.interrupted)
        asyncio.run(work(RecordWriter(store.batch, journal=store.journal)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
