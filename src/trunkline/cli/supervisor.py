"""The supervisor: starts the gateway's two processes, restarts the ones that end, and stops them in order.

In: what to start, a probe that says when the data plane answers, signals. Out: an exit code. One loop around a wake-up
socket (and a
thread that probes a starting child), because this process must stay when everything else fails.
SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reloads.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

STARTS = 3
"""A data plane that ends this often in a row before it was ready ends the supervisor."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 15.0
PROBE_EVERY_S = 0.02
BAD_CONFIGURATION = 2
"""Exit code of a child whose configuration is wrong: another start would end the same way."""
PR_SET_PDEATHSIG = 1
"""https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html"""


@dataclass(frozen=True)
class ChildSpec:
    """A process to keep running. `grace_s` is from SIGTERM to SIGKILL; `probe` blocks for a moment and says whether the
    process answers."""

    name: str
    argv: tuple[str, ...]
    grace_s: float
    probe: Callable[[], bool]
    pass_fds: tuple[int, ...] = ()


class Child:
    """A process over its restarts. `failures` counts ends in a row that came before the process was ready."""

    def __init__(self, spec: ChildSpec, nudge: Callable[[], None]) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = False
        self.failures = 0
        self.code = 0
        """Of the last process that ended."""
        self.due_s = 0.0
        """Clock time of the next start, while there is no process."""
        self._reload_owed = False
        self._settled = False
        self._nudge = nudge

    def start(self, env: Mapping[str, str]) -> int:
        """Start it; its process id."""
        # A session of its own keeps Ctrl-C at the terminal from reaching it: stopping in order is the supervisor's
        # part. The pipe is for
        # systems without a parent-death signal: its end at the child closes when this process ends
        # (`lifeline.end_with_parent`).
        self.process = process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            self.spec.argv,
            stdin=subprocess.PIPE,
            env=dict(env),
            pass_fds=self.spec.pass_fds,
            start_new_session=True,
            preexec_fn=tie_to(os.getpid()),
        )
        self.ready, self._reload_owed, self._settled = False, False, False
        threading.Thread(target=self._probe, args=(process,), daemon=True).start()
        return process.pid

    def ended(self, now_s: float) -> bool:
        """Whether it has ended since it was asked last; if so, the next start is set."""
        if self.process is None or self.process.poll() is None:
            return False
        if self.process.stdin:
            self.process.stdin.close()
        self.code = self.process.returncode
        self.failures = 0 if self.ready else self.failures + 1
        self.due_s = now_s + (min(FIRST_PAUSE_S * 2 ** (self.failures - 1), LONGEST_PAUSE_S) if self.failures else 0.0)
        self.process, self.ready = None, False
        return True

    def reload(self) -> None:
        """Have it read its configuration anew: now, or when it is ready, since before it may not hear the signal."""
        self._reload_owed = not self.ready
        if self.ready:
            self.send(signal.SIGHUP)

    def settled(self) -> bool:
        """Whether it has become ready since it was asked last. Does what was owed until then."""
        if not self.ready or self._settled:
            return False
        self._settled = True
        if self._reload_owed:
            self.reload()
        return True

    def send(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def _probe(self, process: "subprocess.Popen[bytes]") -> None:
        """In a thread of its own: ask until this very process answers, or another one is in its place."""
        while self.process is process and not self.spec.probe():
            time.sleep(PROBE_EVERY_S)
        if self.process is process:
            self.ready = True
            self._nudge()


class Supervisor:
    """Runs from `run()` to its return. `on_ready` is called at the first readiness of the data plane; `on_reload` says
    whether SIGHUP may go
    on to the children; `on_stop` comes before the data plane is told, and closes the listening socket, so that new
    callers are refused."""

    def __init__(
        self,
        data_plane: ChildSpec,
        console: ChildSpec,
        env: Mapping[str, str],
        log: Any,
        *,
        on_ready: Callable[[], None],
        on_reload: Callable[[], bool],
        on_stop: Callable[[], None],
    ) -> None:
        self._signals = Signals()
        self._data, self._console = Child(data_plane, self._signals.nudge), Child(console, self._signals.nudge)
        self._env, self._log = env, log
        self._on_ready, self._on_reload, self._on_stop = on_ready, on_reload, on_stop
        self._announced = False

    def run(self) -> int:
        """Supervise until a signal or a hopeless child; the exit code."""
        with self._signals:
            code = self._watch()
            self._on_stop()
            return self._stop(self._data) or self._stop(self._console) or code

    def _watch(self) -> int:
        """Keep both running until told to stop (0), or until the data plane cannot start."""
        hangup_stops = os.isatty(0)
        while True:
            self._tend(self._data)
            self._tend(self._console)
            if self._data.failures >= STARTS or (self._data.failures and self._data.code == BAD_CONFIGURATION):
                return self._given_up()
            self._announce()
            for number in self._signals.wait(self._pause_s()):
                # A terminal that was closed sends SIGHUP as well, and then nobody is there to stop this process later.
                if number in (signal.SIGTERM, signal.SIGINT) or (hangup_stops and not os.isatty(0)):
                    self._log.info("stopping", signal=signal.Signals(number).name)
                    return 0
                self._reload()

    def _tend(self, child: Child) -> None:
        now_s = time.monotonic()
        if child.ended(now_s):
            self._log.error("ended", child=child.spec.name, code=child.code, restart_in_s=round(child.due_s - now_s, 2))
        if child.process is None and child.due_s <= now_s:
            self._log.info("started", child=child.spec.name, child_pid=child.start(self._env))
        if child.settled():
            self._log.info("ready", child=child.spec.name)

    def _pause_s(self) -> float | None:
        """Until the next start that is due; None waits for a signal (the end of a child is one)."""
        due = [child.due_s for child in (self._data, self._console) if child.process is None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _announce(self) -> None:
        if self._data.ready and not self._announced:
            self._announced = True
            self._on_ready()

    def _reload(self) -> None:
        if self._on_reload():
            self._data.reload()
            self._console.reload()

    def _given_up(self) -> int:
        code = self._data.code
        self._log.error(
            "given up",
            child=self._data.spec.name,
            starts=self._data.failures,
            code=code,
            mend="its own lines above say why",
        )
        return code if code > 0 else 1

    def _stop(self, child: Child) -> int:
        """Ask it to end, wait its grace, kill it. A signal while waiting ends everything at once: then 128 + that
        signal, else 0."""
        child.send(signal.SIGTERM)
        until_s = time.monotonic() + child.spec.grace_s
        while child.process is not None and not child.ended(time.monotonic()):
            left_s = until_s - time.monotonic()
            told = [
                number for number in self._signals.wait(max(0.0, left_s)) if number in (signal.SIGTERM, signal.SIGINT)
            ]
            if told or left_s <= 0:
                self._log.warning(
                    "killed", child=child.spec.name, why="second signal" if told else "took longer than its grace"
                )
                child.send(signal.SIGKILL)
                until_s = float("inf")
            if told:
                self._console.send(signal.SIGKILL)
                return 128 + told[0]
        return 0


class Signals:
    """Signals as data: while entered, they arrive at `wait` instead of interrupting. Lives as long as the
    supervisor."""

    NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)

    def __enter__(self) -> "Signals":
        self._before = {number: signal.signal(number, _ignore_frame) for number in self.NUMBERS}
        self._fd_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def nudge(self) -> None:
        """End a `wait` early, from any thread."""
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def wait(self, timeout_s: float | None) -> Iterator[int]:
        """The signals that came, but for the end of a child, which only ends the wait."""
        self._reader.settimeout(None if timeout_s == float("inf") else timeout_s)
        try:
            numbers = self._reader.recv(4096)
        except (TimeoutError, BlockingIOError):
            return iter(())
        return (number for number in numbers if number not in (0, signal.SIGCHLD))


def _ignore_frame(*_: object) -> None:
    """Python's part of a signal that the wake-up socket carries."""


def tie_to(parent: int) -> Callable[[], None]:
    """What a child does before its program starts, so that it does not outlive the process `parent`."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def tie() -> None:
        # Until the program has a handler for it, SIGHUP would end it.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if prctl is not None:
            # It ends when its parent does, however that ends; the parent may have gone before this line.
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return tie
