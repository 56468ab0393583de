"""How our processes end: with their parent, and by their own hand. In: standard input, a pipe that the parent holds; signals."""

import os
import sys
import threading


def end_with_parent() -> None:
    """Watch standard input in a thread where there is no parent-death signal (on Linux the supervisor has set one): its
    end is the parent's."""
    if sys.platform != "linux":
        threading.Thread(target=_wait_for_end, args=(0,), daemon=True).start()


def _wait_for_end(fd: int) -> None:
    while os.read(fd, 1024):
        pass
    os._exit(1)
