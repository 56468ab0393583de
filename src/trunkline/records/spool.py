"""A journal on the local disk for what the store does not take now. In: frames of bytes, durable on return. Out: the same, in their order, at least once.

Files of numbered frames, each with a checksum: what a crash cut off is noticed and left out, since nobody was told that it is durable. A file is deleted
once all of its frames are in the store. One process at a time has a folder: `claim` takes the first that is free.
"""

import fcntl
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from trunkline.errors import StoreError

SEGMENT_BYTES = 16 * 1024 * 1024
_MAGIC = b"TLJ1"
_HEAD_BYTES = len(_MAGIC) + 8
_SUFFIX = ".journal"
_SLOTS = 1_024
_SOME_BYTES = 1024 * 1024
"""Of frames that are read at once."""


class Spool:
    """Lives as long as the process. `append` belongs to one thread, `peek` and `done` to another or the same."""

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._sizes: dict[Path, int] = {path: path.stat().st_size for path in sorted(folder.glob(f"*{_SUFFIX}"))}
        """The files that are there, the oldest first."""
        self._next_number = max((int(path.stem) for path in self._sizes), default=0) + 1
        self._writing: BinaryIO | None = None
        self._reading: BinaryIO | None = None
        self._peeked: list[bytes] = []
        self.damaged = 0
        """Files in which frames were found that nobody can read; they stay beside the others."""

    @property
    def waiting_bytes(self) -> int:
        """That wait."""
        return sum(self._sizes.values())

    @property
    def is_empty(self) -> bool:
        return not self._sizes

    def append(self, frame: bytes) -> None:
        """On the disk on return. StoreError where there is no room, or the disk does not take it: then nothing of it stays."""
        size = _HEAD_BYTES + len(frame)
        with self._lock:
            if self.waiting_bytes + size > self._max_bytes:
                raise StoreError(
                    f"{self._folder}: {self._max_bytes} bytes wait here, and no more may ([store] spool_max_mb)"
                )
            try:
                self._append(frame, size)
            except OSError as error:
                raise StoreError(f"{self._folder}: {error.strerror}") from error

    def peek(self) -> bytes | None:
        """The oldest frame; None where there is none. StoreError where the disk cannot be read."""
        return next(iter(self.peek_some(1)), None)

    def peek_some(self, most: int) -> list[bytes]:
        """The oldest frames, so many and a megabyte at most, and the same ones until they are `done`."""
        with self._lock:
            try:
                while not self._peeked and self._sizes:
                    self._peeked = self._read_some(most)
            except OSError as error:
                raise StoreError(f"{self._folder}: {error.strerror}") from error
            return self._peeked

    def done(self) -> None:
        """What was peeked at is in the store. A file goes with its last frame, so a crash before that brings the others once more."""
        with self._lock:
            self._peeked = []
            path = next(iter(self._sizes))
            if self._reading is not None and self._reading.tell() >= self._sizes[path]:
                self._remove(path)

    def put_aside(self, frame: bytes) -> None:
        """It is of no use here; it goes to a file of its own."""
        path = next(iter(self._sizes))
        path.with_name(f"{path.stem}-{zlib.crc32(frame):08x}.unreadable").write_bytes(frame)

    def close(self) -> None:
        """Let go of the files; what waits stays."""
        with self._lock:
            for file in (self._writing, self._reading):
                if file is not None:
                    file.close()
            self._writing = self._reading = None

    def _append(self, frame: bytes, size: int) -> None:
        if self._writing is None:
            self._writing = self._make()
        file = self._writing
        path = Path(file.name)
        before = self._sizes[path]
        try:
            file.write(_MAGIC + len(frame).to_bytes(4, "big") + zlib.crc32(frame).to_bytes(4, "big") + frame)
            os.fdatasync(file.fileno())
        except OSError:
            # The next frame begins where this one did, or in the next file where even that is not possible.
            self._writing = None
            os.ftruncate(file.fileno(), before)
            file.close()
            raise
        self._sizes[path] = before + size
        if before + size >= self._segment_bytes:
            file.close()
            self._writing = None

    def _make(self) -> BinaryIO:
        path = self._folder / f"{self._next_number:012}{_SUFFIX}"
        self._next_number += 1
        # Its owner's alone: records tell who asked what.
        file = open(path, "xb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_APPEND, 0o600))  # noqa: SIM115
        _sync_folder(self._folder)
        self._sizes[path] = 0
        return file

    def _read_some(self, most: int) -> list[bytes]:
        """The next frames of the oldest file; none where it had no more, and is gone."""
        path = next(iter(self._sizes))
        if self._reading is None:
            self._reading = path.open("rb")
        some: list[bytes] = []
        while len(some) < most and sum(map(len, some)) < _SOME_BYTES:
            begin = self._reading.tell()
            frame, is_damaged = self._read(self._reading, self._sizes[path])
            if frame is None:
                if not some:
                    self._give_up(path, is_damaged=is_damaged)
                else:
                    # Those before it are not in the store yet.
                    self._reading.seek(begin)
                break
            some.append(frame)
        return some

    def _read(self, file: BinaryIO, end: int) -> tuple[bytes | None, bool]:
        """The next frame, None where there is none that can be read; and whether something else was there."""
        head = file.read(_HEAD_BYTES)
        size = int.from_bytes(head[4:8], "big")
        is_whole = len(head) == _HEAD_BYTES and file.tell() + size <= end
        if is_whole and head[:4] == _MAGIC:
            frame = file.read(size)
            if zlib.crc32(frame) == int.from_bytes(head[8:], "big"):
                return frame, False
        # What is not whole is the end of what a crash, or a full disk, left: it never was durable.
        return None, is_whole or (len(head) == _HEAD_BYTES and head[:4] != _MAGIC)

    def _give_up(self, path: Path, *, is_damaged: bool) -> None:
        if is_damaged:
            self.damaged += 1
            path.with_suffix(".damaged").unlink(missing_ok=True)
            os.link(path, path.with_suffix(".damaged"))
        self._remove(path)

    def _remove(self, path: Path) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None
        if self._writing is not None and self._writing.name == str(path):
            self._writing.close()
            self._writing = None
        path.unlink(missing_ok=True)
        _sync_folder(self._folder)
        del self._sizes[path]


class Slot:
    """A folder of one process, from construction to `release`, at the latest to the end of the process, however it ends."""

    def __init__(self, folder: Path, fd: int) -> None:
        self.folder = folder
        self._fd = fd

    def owner(self, new: str) -> str:
        """The name under which all processes that have this folder, one after the other, write: `new` where it has none yet."""
        path = self.folder / "owner"
        if not path.exists():
            path.write_text(new, "utf-8")
            _sync_folder(self.folder)
        return path.read_text("utf-8").strip() or new

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._fd)


def claim(folder: Path) -> Slot:
    """The first folder in here that no living process has, made if need be. StoreError where there can be none."""
    for slot in _slots(folder, range(_SLOTS)):
        return slot
    raise StoreError(f"{folder}: {_SLOTS} processes have a folder in here")


def abandoned(folder: Path) -> Iterator[Slot]:
    """The others that are there and that nobody has, each claimed: of processes that are gone. To be released."""
    numbers = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()) if folder.is_dir() else []
    yield from _slots(folder, numbers)


def _slots(folder: Path, numbers: "range | list[int]") -> Iterator[Slot]:
    for number in numbers:
        path = folder / str(number)
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{path}: cannot be used ({error.strerror}); correct [store] spool_dir") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        yield Slot(path, fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
