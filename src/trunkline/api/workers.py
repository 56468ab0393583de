"""The other data planes of this machine, and what they count. In: the folder of their unix sockets. Out: their pages of `/metrics`.

A page is put into a file of that folder each time that it is told, and at the end: what a process counted that is gone, or does not answer, is found
there, and is never less than what was told of it before.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from trunkline.errors import TransportError
from trunkline.execution.transport.types import Origin, Transport, UpstreamRequest
from trunkline.telemetry.merging import Merging

TIMEOUT_S = 2.0
_GONE = "counted-by-those-gone"


class Page(bytes):
    """Of one process."""

    is_gone = False


class GonePage(Page):
    """Of one that does not answer any more, or of several such."""

    is_gone = True


class Workers:
    """Lives as long as the process, which is one of them: `own` is its socket."""

    def __init__(self, own: Path, transport: Transport) -> None:
        self._own = own
        self._folder = own.parent
        self._transport = transport
        _put_together(self._folder)

    @property
    def is_alone(self) -> bool:
        """There are no others, and there never were."""
        return not self._others() and next(self._folder.glob("counted-*"), None) is None

    async def keep(self, page: bytes) -> None:
        """What this process has counted, for when it is gone."""
        await asyncio.to_thread(_write, _file_of(self._own), page)

    async def pages(self) -> list[Page]:
        """Of all others."""
        sockets = self._others()
        told = await asyncio.gather(*[self._ask(socket) for socket in sockets])
        answered = [page for page in told if page is not None]
        silent = [socket for socket, page in zip(sockets, told, strict=True) if page is None]
        known = {_file_of(socket) for socket in sockets if socket not in silent} | {_file_of(self._own)}
        return [*answered, *await asyncio.to_thread(_read_files, self._folder, known)]

    def _others(self) -> list[Path]:
        return [socket for socket in sorted(self._folder.glob("worker-*.sock")) if socket != self._own]

    async def _ask(self, socket: Path) -> Page | None:
        request = UpstreamRequest(
            Origin("http", "worker", 80, unix_path=str(socket), guarded=False),
            b"GET",
            b"/metrics",
            (),
            b"",
            connect_s=TIMEOUT_S,
            first_byte_s=TIMEOUT_S,
            total_s=TIMEOUT_S,
        )
        pieces: list[bytes] = []
        try:
            response = await self._transport.send(request)
            try:
                await response.pump(pieces.append)
            finally:
                response.abort()
        except TransportError:
            return None
        return Page(b"".join(pieces)) if response.status == 200 else None


def _file_of(socket: Path) -> Path:
    return socket.with_name(socket.name.replace("worker-", "counted-").removesuffix(".sock"))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Nobody else reads or puts files together meanwhile."""
    descriptor = os.open(folder / "counting.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, page: bytes) -> None:
    """All of it or nothing."""
    new = path.with_name(f"new-{path.name}")
    new.write_bytes(page)
    new.replace(path)


def _read_files(folder: Path, known: set[Path]) -> list[Page]:
    with _locked(folder):
        return [GonePage(path.read_bytes()) for path in sorted(folder.glob("counted-*")) if path not in known]


def _put_together(folder: Path) -> None:
    """One file for all processes that are gone."""
    with _locked(folder):
        gone = [path for path in sorted(folder.glob("counted-*")) if path.name == _GONE or not _is_there(path)]
        if len(gone) < 2:
            return
        merging = Merging({})
        for path in gone:
            for _ in merging.take(path.read_bytes(), is_gone=True):
                pass
        _write(folder / _GONE, b"".join(merging.pages()))
        for path in gone:
            if path.name != _GONE:
                path.unlink()


def _is_there(path: Path) -> bool:
    """Whether the process of a file runs."""
    try:
        os.kill(int(path.name.rpartition("-")[2]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
