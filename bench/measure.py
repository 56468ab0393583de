"""One measurement: a stack, the load generator and the upstream, with the CPU clocks of all three read just before
and after. Gives `Sample`s."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from bench.procs import Child, cpu_s, cpu_s_each, machine_cpu_s, memory
from bench.stacks import Upstream
from bench.types import LoadOrder, LoadResult, Sample, Target

_SETTLE_S = 0.3
"""What a stack still does after the last answer (a batch of records) is its cost too."""


class Cores(msgspec.Struct, frozen=True):
    """Who runs where: stacks on cores of their own, so that what they cost is theirs, the generator and the upstream
    on the rest."""

    stack: tuple[int, ...]
    rest: tuple[int, ...]


def cores(pin: bool) -> Cores:
    usable = sorted(os.sched_getaffinity(0))
    if not pin or len(usable) < 2:
        return Cores((), ())
    return Cores((usable[0],), tuple(usable[1:]))


class Load:
    """A started load generator, stopped at its first step; lives until `result` or `stop`."""

    def __init__(self, order: LoadOrder, cpus: Iterable[int]) -> None:
        allowed = set(cpus)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.load", msgspec.json.encode(order).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
            preexec_fn=(lambda: os.sched_setaffinity(0, allowed)) if allowed else None,
        )

    def until(self, word: str) -> None:
        assert self.process.stdout
        said = self.process.stdout.readline().strip()
        if said != word:
            self.stop()
            raise RuntimeError(f"the load generator ended before it was {word}: {said!r}")

    def go_on(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def result(self) -> LoadResult:
        self.go_on()
        out, _ = self.process.communicate(timeout=60)
        return msgspec.json.decode(out, type=LoadResult)

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


class Measured(Protocol):
    """What can be put under load."""

    @property
    def name(self) -> str: ...
    @property
    def target(self) -> Target: ...
    @property
    def child(self) -> Child: ...


class Clocks(msgspec.Struct, frozen=True):
    """CPU seconds so far, and when they were read."""

    stack: dict[int, float]
    """By process."""
    upstream: float
    machine: float
    at_s: float

    @classmethod
    def read(cls, stack: Measured, upstream: Child) -> "Clocks":
        return cls(cpu_s_each(stack.child.pids()), cpu_s(upstream.pids()), machine_cpu_s(), time.monotonic())


def under_load(row: str, round_number: int, stack: Measured, upstream: Child, order: LoadOrder, where: Cores) -> Sample:
    """Runs the order against the stack. The sample has no value yet: what it is depends on the row."""
    load = Load(order, where.rest)
    try:
        load.until("ready")
        before = Clocks.read(stack, upstream)
        load.go_on()
        load.until("done")
        time.sleep(_SETTLE_S)
        after = Clocks.read(stack, upstream)
        got = load.result()
    finally:
        load.stop()
    used = [seconds - before.stack.get(pid, 0.0) for pid, seconds in after.stack.items()]
    stack_cpu_s, upstream_cpu_s = sum(used), after.upstream - before.upstream
    foreign_cpu_s = after.machine - before.machine - stack_cpu_s - upstream_cpu_s - got.own_cpu_s
    return Sample(
        row=row,
        stack=stack.name,
        round=round_number,
        requests=got.requests,
        warmed=got.warmed,
        events=got.events,
        reads=got.reads,
        errors=got.errors,
        wall_s=got.wall_s,
        stack_cpu_s=stack_cpu_s,
        busiest_cpu_s=max(used),
        load_cpu_s=got.own_cpu_s,
        upstream_cpu_s=upstream_cpu_s,
        others=max(foreign_cpu_s, 0.0) / (after.at_s - before.at_s),
        latency_us=got.latency_us,
        lag_us=got.lag_us,
    )


def held_memory(row: str, stack: Measured, order: LoadOrder, where: Cores, settle_s: float) -> Sample:
    """Memory of the stack while `order.connections` streams are open, each getting an event now and then. The value
    is PSS in MB."""
    load = Load(order, where.rest)
    try:
        load.until("ready")
        load.go_on()
        load.until("held")
        time.sleep(settle_s)
        used = memory(stack.child.pids())
        load.go_on()
        load.until("done")
        got = load.result()
    finally:
        load.stop()
    return Sample(
        row=row,
        stack=stack.name,
        round=1,
        value=used.pss_mb,
        requests=got.requests,
        events=got.events,
        errors=got.errors,
        detail={"rss_mb": used.rss_mb, "pss_mb": used.pss_mb},
    )


def events_upstream(folder: Path, cpus: Iterable[int], tls: tuple[Path, Path] | None = None) -> tuple[Child, Upstream]:
    """Starts the timed event server and gives its address."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "bench.upstream"]
    if tls:
        argv += ["--certificate", str(tls[0]), "--key", str(tls[1])]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    child = Child(argv, log=folder / "log.txt", env=env, cpus=cpus)
    for _ in range(2000):
        said = child.log.read_text()
        if said.endswith("\n"):
            return child, Upstream(int(said.splitlines()[-1]), str(tls[0]) if tls else "")
        if child.process.poll() is not None:
            break
        time.sleep(0.005)
    child.stop()
    raise RuntimeError(f"the event server did not start: {child.log.read_text()}")
