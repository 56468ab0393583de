"""Processes of a bench: start them on chosen cores, find their children, and read CPU time and memory as the
operating system accounts them (/proc, so Linux only)."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Memory(msgspec.Struct, frozen=True):
    """Of a process tree. PSS counts a page that n processes share as 1/n, so it may be summed; RSS sums count it n
    times."""

    rss_mb: float
    pss_mb: float


class Child:
    """A started process with its descendants; lives until `stop`. Its output goes to `log`."""

    def __init__(
        self, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cpus: Iterable[int] = ()
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        cores = set(cpus)
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=None if env is None else dict(env),
                start_new_session=True,
                preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
            )
        self.log = log

    def pids(self) -> list[int]:
        return tree(self.process.pid)

    def stop(self, patience_s: float = 15.0) -> None:
        """Ends it in good order, and after `patience_s` by force, with all that it started in its session."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def tree(root: int) -> list[int]:
    """The process and all its descendants that are alive."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """User and system time of the processes, all threads, with children that have ended: fields 14 to 17 of proc(5)
    stat."""
    ticks = 0
    for pid in pids:
        if fields := _stat(pid):
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS_PER_S


def cpu_s_each(pids: Iterable[int]) -> dict[int, float]:
    return {pid: cpu_s([pid]) for pid in pids}


def wait_idle(child: Child, patience_s: float = 20.0) -> None:
    """Until the processes use less than a fiftieth of a core: what a stack does after its start belongs to no
    request."""
    until = time.monotonic() + patience_s
    used = cpu_s(child.pids())
    while time.monotonic() < until:
        time.sleep(0.5)
        now = cpu_s(child.pids())
        if now - used <= 0.01:
            return
        used = now


def machine_cpu_s() -> float:
    """Time that all cores together were not idle, from the first line of /proc/stat (steal included)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, iowait = fields[3], fields[4]
    return (sum(fields) - idle - iowait) / _TICKS_PER_S


def memory(pids: Iterable[int]) -> Memory:
    rss = pss = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                rss += int(line.split()[1]) if line.startswith("Rss:") else 0
                pss += int(line.split()[1]) if line.startswith("Pss:") else 0
    return Memory(rss_mb=rss / 1024, pss_mb=pss / 1024)


def start_peak(pid: int) -> None:
    """Forgets the most that the process ever had in memory: proc(5), clear_refs."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_rss_mb(pid: int) -> float:
    """The most since `start_peak`."""
    return _status_kb(pid, "VmHWM") / 1024


def rss_mb(pid: int) -> float:
    return _status_kb(pid, "VmRSS") / 1024


def _status_kb(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/{pid}/status has no {name}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_ready(port: int, path: str, child: Child, patience_s: float = 30.0) -> float:
    """Seconds until a GET of `path` is answered with 200. Raises RuntimeError with the end of the log where that
    never happens."""
    began = time.perf_counter()
    ask = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
    while time.perf_counter() - began < patience_s:
        if child.process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2.0) as connection:
            connection.sendall(ask)
            if b" 200" in connection.recv(64)[:16]:
                return time.perf_counter() - began
        time.sleep(0.002)
    tail = child.log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"not ready after {patience_s:.0f} s: {child.process.args!r}\n{tail}")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name (state first), or none where the process is gone or has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    fields = text[text.rindex(")") + 2 :].split()
    return [] if fields[0] in "ZX" else fields


def allow_open_files(wanted: int) -> None:
    """Raises this process's limit, and so that of all it starts, as far as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0]), hard))
