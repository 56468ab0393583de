"""One process writes records to a SQLite store. In: the store's URL. Out: a claim that the operating system ends with the process.

Without it a second gateway on the same file would take the first one's open intents for those of a crash.
"""

import fcntl
import os
from types import TracebackType
from typing import Self

from trunkline.errors import StoreError
from trunkline.storage.url import sqlite_path


class WriterClaim:
    """Held from construction to `release`, at the latest to the end of the process, however it ends. StoreError when it is taken."""

    def __init__(self, url: str) -> None:
        path = sqlite_path(url)
        lock = path.with_name(path.name + ".writer")
        try:
            self._fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{lock}: cannot be opened: {error.strerror}") from error
        try:
            # Not SQLite's own file: closing any descriptor of that would drop SQLite's locks (https://www.sqlite.org/howtocorrupt.html).
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise StoreError(
                f"{path}: another gateway is writing to this store; stop it, or give this one a [store] url of its own"
            ) from error

    def release(self) -> None:
        """Let another process write. May be called once."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
