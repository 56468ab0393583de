"""How our processes find each other, and how they end: with their parent. In: standard input, a pipe that the parent holds."""

import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

IDLE_LEAVES_WITHIN_S = 6.0
"""A data plane that is replaced waits so long for the next request on a connection that rests, to end the connection with its answer: a
request that crosses the end of its connection is lost. Longer than the 5 s for which httpx, and the SDKs on it, use one again
(https://www.python-httpx.org/advanced/resource-limits/)."""


@dataclass(frozen=True)
class Place:
    """Where a data plane is among the processes of its run: the folder of their unix sockets, and which one it is."""

    folder: Path
    worker: str

    @property
    def console(self) -> Path:
        """Where the console listens."""
        return self.folder / "console.sock"

    @property
    def own(self) -> Path:
        """Where this very process answers."""
        return self.of(os.getpid())

    def of(self, pid: int) -> Path:
        """Where that process of this worker does."""
        return self.folder / f"worker-{self.worker}-{pid}.sock"

    @property
    def is_shared(self) -> bool:
        """Whether another process of this worker lives: the one that this one is to replace."""
        pids = [int(path.stem.rpartition("-")[2]) for path in self.folder.glob(f"worker-{self.worker}-*.sock")]
        return any(pid != os.getpid() and _lives(pid) for pid in pids)

    def all(self) -> dict[str, Path]:
        """Worker -> where it answers, of those that are not leaving."""
        return {path.name.split("-")[1]: path for path in sorted(self.folder.glob("worker-*.sock"))}


def end_with_parent() -> None:
    """Watch standard input in a thread where there is no parent-death signal (on Linux the supervisor has set one): its
    end is the parent's."""
    if sys.platform != "linux":
        threading.Thread(target=_wait_for_end, args=(0,), daemon=True).start()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _wait_for_end(fd: int) -> None:
    while os.read(fd, 1024):
        pass
    os._exit(1)
