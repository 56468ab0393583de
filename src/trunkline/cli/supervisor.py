"""The supervisor: starts the gateway's processes, restarts the ones that end, and stops them in order.

In: what to start, a probe that says when a process answers, signals. Out: an exit code. One loop around a wake-up socket (and a
thread that probes a starting child), because this process must stay when everything else fails.
SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reloads, SIGUSR2 puts new processes in the place of the running ones.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STARTS = 3
"""Data planes that end this often in a row before one was ready end the supervisor."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 15.0
PROBE_EVERY_S = 0.02
BAD_CONFIGURATION = 2
"""Exit code of a child whose configuration is wrong: another start would end the same way."""
PR_SET_PDEATHSIG = 1
"""https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html"""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class ChildSpec:
    """A process to keep running. `grace_s` is from its being told to end to SIGKILL; `probe` blocks for a moment and says whether
    the process of that id answers."""

    name: str
    argv: tuple[str, ...]
    grace_s: float
    probe: Callable[[int], bool]
    pass_fds: tuple[int, ...] = ()
    overlaps: bool = False
    """A new one may run before the old one has ended."""
    leave_signal: int = signal.SIGTERM
    """Tells it that another takes its place."""


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
        self.kill_s: float | None = None
        """Clock time at which it is killed; set once it was told to end."""
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
        self.ready, self.kill_s, self._reload_owed, self._settled = False, None, False, False
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

    def tell_to_end(self, number: int, now_s: float) -> None:
        """Have it end by itself, within its grace."""
        self.send(number)
        self.kill_s = now_s + self.spec.grace_s

    def killed(self, now_s: float) -> bool:
        """Whether it was killed just now, because its grace is over."""
        if self.process is None or self.kill_s is None or now_s < self.kill_s:
            return False
        self.send(signal.SIGKILL)
        self.kill_s = float("inf")
        return True

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

    def next_s(self) -> float | None:
        """Clock time at which something is to be done with it; None: when it ends."""
        return self.due_s if self.process is None else self.kill_s

    def _probe(self, process: "subprocess.Popen[bytes]") -> None:
        """In a thread of its own: ask until this very process answers, or another one is in its place."""
        while self.process is process and not self.spec.probe(process.pid):
            time.sleep(PROBE_EVERY_S)
        if self.process is process:
            self.ready = True
            self._nudge()


class Rolling:
    """A restart of all, one after the other. Lives from SIGUSR2 until the last one's successor is ready.

    Where a child may overlap with its successor, that one is ready before the old one is told to leave; else it comes after it.
    """

    def __init__(
        self, children: Sequence[Child], start: Callable[[Child], None], nudge: Callable[[], None], log: Any
    ) -> None:
        self.children = list(children)
        """In the end the new ones."""
        self.is_over = False
        self._start, self._nudge, self._log = start, nudge, log
        self._waiting = list(children)
        self._successor: Child | None = None
        """Starts while the one that it is to replace, the first of those waiting, still runs."""
        self._leaving: Child | None = None
        """Was told to leave, for its successor is there."""
        self._place: Child | None = None
        """Was told to leave, and is started anew by the supervisor once it has ended."""

    def advance(self, now_s: float) -> None:
        """Do all that can be done now."""
        while not self.is_over and self._step(now_s):
            pass

    def beside(self) -> list[Child]:
        """The processes that are there for the time of the restart only."""
        return [child for child in (self._successor, self._leaving) if child is not None]

    def _step(self, now_s: float) -> bool:
        """Whether something was done, so that there may be more."""
        if self._leaving is not None:
            return self._has_left(self._leaving)
        if self._place is not None:
            return self._has_come_back(self._place)
        if self._successor is not None:
            return self._is_replaced_by(self._successor, now_s)
        if self._waiting:
            self._begin(self._waiting[0], now_s)
            return True
        self._log.info("restarted", children=[child.spec.name for child in self.children])
        self.is_over = True
        return False

    def _begin(self, old: Child, now_s: float) -> None:
        if old.spec.overlaps and old.process is not None:
            self._successor = Child(old.spec, self._nudge)
            self._start(self._successor)
            return
        self._waiting.pop(0)
        if old.ready:
            self._place = old
            old.tell_to_end(old.spec.leave_signal, now_s)

    def _has_left(self, old: Child) -> bool:
        if old.process is not None:
            return False
        self._leaving = None
        return True

    def _has_come_back(self, child: Child) -> bool:
        if child.ready and child.kill_s is None:
            self._place = None
            return True
        return self._has_failed(child)

    def _is_replaced_by(self, new: Child, now_s: float) -> bool:
        if not new.ready:
            return self._has_failed(new)
        old = self._waiting.pop(0)
        self.children[self.children.index(old)] = new
        self._successor = None
        if old.process is not None:
            old.tell_to_end(old.spec.leave_signal, now_s)
            self._leaving = old
        return True

    def _has_failed(self, child: Child) -> bool:
        if child.process is not None or not child.failures:
            return False
        self._successor = None
        self.is_over = True
        self._log.error(
            "restart given up, the others go on as they are",
            child=child.spec.name,
            code=child.code,
            mend="its own lines above say why",
        )
        return True


class Supervisor:
    """Runs from `run()` to its return. `on_ready` is called when all data planes are ready for the first time; `on_reload` says
    whether SIGHUP may go on to the children; `on_stop` comes before the data planes are told, and closes the listening sockets, so
    that new callers are refused."""

    def __init__(
        self,
        data_planes: Sequence[ChildSpec],
        console: ChildSpec,
        env: Mapping[str, str],
        log: Any,
        *,
        on_ready: Callable[[], None],
        on_reload: Callable[[], bool],
        on_stop: Callable[[], None],
    ) -> None:
        self._signals = Signals()
        self._data = [Child(spec, self._signals.nudge) for spec in data_planes]
        self._console = Child(console, self._signals.nudge)
        self._env, self._log = env, log
        self._on_ready, self._on_reload, self._on_stop = on_ready, on_reload, on_stop
        self._announced = False
        self._rolling: Rolling | None = None

    def run(self) -> int:
        """Supervise until a signal or a hopeless child; the exit code."""
        with self._signals:
            code = self._watch()
            self._on_stop()
            data_planes = [child for child in self._all() if child is not self._console]
            return self._stop(data_planes) or self._stop([self._console]) or code

    def _watch(self) -> int:
        """Keep all running until told to stop (0), or until no data plane can start."""
        hangup_stops = os.isatty(0)
        while True:
            for child in (*self._data, self._console):
                self._tend(child)
            self._roll()
            hopeless = self._hopeless()
            if hopeless is not None:
                return self._given_up(hopeless)
            self._announce()
            for number in self._signals.wait(self._pause_s()):
                # A terminal that was closed sends SIGHUP as well, and then nobody is there to stop this process later.
                if number in STOP_SIGNALS or (hangup_stops and not os.isatty(0)):
                    self._log.info("stopping", signal=signal.Signals(number).name)
                    return 0
                self._heed(number)

    def _heed(self, number: int) -> None:
        if number == signal.SIGUSR2:
            self._restart()
        elif self._on_reload():
            for child in self._all():
                child.reload()

    def _tend(self, child: Child) -> None:
        now_s = time.monotonic()
        self._note(child, now_s)
        if child.process is None and child.due_s <= now_s:
            self._start(child)

    def _start(self, child: Child) -> None:
        self._log.info("started", child=child.spec.name, child_pid=child.start(self._env))

    def _note(self, child: Child, now_s: float) -> None:
        """What has become of it since it was looked at last."""
        told = child.kill_s is not None
        if child.killed(now_s):
            self._log.warning("killed", child=child.spec.name, why="took longer than its grace")
        if child.ended(now_s):
            if told:
                self._log.info("left", child=child.spec.name, code=child.code)
            else:
                pause_s = round(child.due_s - now_s, 2)
                self._log.error("ended", child=child.spec.name, code=child.code, restart_in_s=pause_s)
        if child.settled():
            self._log.info("ready", child=child.spec.name)

    def _restart(self) -> None:
        if self._rolling is not None:
            self._log.warning("a restart is under way already")
            return
        self._log.info("restarting")
        self._rolling = Rolling([*self._data, self._console], self._start, self._signals.nudge, self._log)

    def _roll(self) -> None:
        """The next steps of a restart, where one is under way."""
        rolling = self._rolling
        if rolling is None:
            return
        for child in rolling.beside():
            self._note(child, time.monotonic())
        rolling.advance(time.monotonic())
        *self._data, self._console = rolling.children
        if rolling.is_over:
            self._rolling = None

    def _all(self) -> list[Child]:
        return [*self._data, self._console, *(self._rolling.beside() if self._rolling is not None else ())]

    def _pause_s(self) -> float | None:
        """Until something is due; None waits for a signal (the end of a child is one)."""
        due = [next_s for child in self._all() if (next_s := child.next_s()) is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _announce(self) -> None:
        if not self._announced and all(child.ready for child in self._data):
            self._announced = True
            self._on_ready()

    def _hopeless(self) -> Child | None:
        """A data plane that cannot start, where none runs."""
        if any(child.ready for child in self._data):
            return None
        bad = (child for child in self._data if child.failures >= STARTS or _is_misconfigured(child))
        return next(bad, None)

    def _given_up(self, child: Child) -> int:
        self._log.error(
            "given up",
            child=child.spec.name,
            starts=child.failures,
            code=child.code,
            mend="its own lines above say why",
        )
        return child.code if child.code > 0 else 1

    def _stop(self, children: Sequence[Child]) -> int:
        """Ask them to end, wait their grace, kill them. A signal while waiting ends everything at once: then 128 + that signal,
        else 0."""
        now_s = time.monotonic()
        for child in children:
            child.tell_to_end(signal.SIGTERM, now_s)
        while running := [
            child for child in children if child.process is not None and not child.ended(time.monotonic())
        ]:
            ends = [child.kill_s for child in running if child.kill_s is not None]
            left_s = max(0.0, min(ends) - time.monotonic()) if ends else None
            told = [number for number in self._signals.wait(left_s) if number in STOP_SIGNALS]
            if told:
                return self._end_at_once(children, told[0])
            for child in running:
                if child.killed(time.monotonic()):
                    self._log.warning("killed", child=child.spec.name, why="took longer than its grace")
        return 0

    def _end_at_once(self, children: Sequence[Child], number: int) -> int:
        for child in (*children, self._console):
            if child.process is not None:
                self._log.warning("killed", child=child.spec.name, why="second signal")
                child.send(signal.SIGKILL)
        return 128 + number


def _is_misconfigured(child: Child) -> bool:
    return child.failures > 0 and child.code == BAD_CONFIGURATION


class Signals:
    """Signals as data: while entered, they arrive at `wait` instead of interrupting. Lives as long as the
    supervisor."""

    NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)

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
