"""The rows of the table: runs every measurement for every stack in interleaved rounds, and gives the samples.

In: a `Plan` (how long, how often) and the stacks. Out: samples and notes. Phases: start and memory (one stack at a
time, fresh), requests and latency (all stacks up, nginx as upstream), events (all up, the timed event server as
upstream), and the last two again with TLS to the provider.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from bench import install, stacks
from bench.gateway import count, store_path
from bench.measure import Cores, Measured, events_upstream, held_memory, under_load
from bench.procs import Child, cpu_s, memory, wait_idle
from bench.stacks import Running, Stack, Upstream
from bench.types import LoadOrder, Sample, Target

DIRECT = "direct"
Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True):
    """How much is measured. Times are seconds unless named."""

    rounds: int
    latency_rounds: int
    tls_rounds: int
    starts: int
    request_s: float
    connections: int
    streams: int
    events: int
    every_ms: int
    rates: dict[int, float]
    """Requests per second -> for how long."""
    idle_s: float
    held: tuple[int, ...]
    held_settle_s: float
    held_every_ms: int = 2000


FULL = Plan(
    rounds=5, latency_rounds=3, tls_rounds=2, starts=5, request_s=3.0, connections=16,
    streams=100, events=250, every_ms=20, rates={100: 6.0, 500: 4.0, 1000: 4.0}, idle_s=5.0, held=(1000, 5000), held_settle_s=4.0,
)  # fmt: skip
QUICK = Plan(
    rounds=1, latency_rounds=1, tls_rounds=1, starts=1, request_s=1.0, connections=16,
    streams=50, events=50, every_ms=20, rates={100: 1.0, 500: 1.0, 1000: 1.0}, idle_s=1.0, held=(100, 1000), held_settle_s=0.5,
)  # fmt: skip


class Direct(msgspec.Struct, frozen=True):
    """The upstream itself, without a stack between: what latencies are measured against."""

    name: str
    target: Target
    child: Child


class Lab:
    """What all phases share; lives for one run of the bench."""

    def __init__(self, plan: Plan, work: Path, where: Cores, say: Say) -> None:
        self.plan = plan
        self.where = where
        self.say = say
        self.nginx = install.nginx(work)
        self.folder = work / "run"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.samples: list[Sample] = []
        self.notes: list[str] = []
        self.sent: dict[Path, int] = {}
        """Folder of a running Trunkline -> requests sent to it."""

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)
        shown = "fails" if sample.value is None else f"{sample.value:.1f}"
        self.say(f"  {sample.row:<18} {sample.stack:<24} round {sample.round}: {shown} {sample.errors or ''}")

    def measure(self, row: str, round_number: int, stack: Measured, upstream: Child, order: LoadOrder) -> Sample:
        """A sample without a value; a stack that breaks under the load gives one with the error."""
        try:
            sample = under_load(row, round_number, stack, upstream, order, self.where)
        except RuntimeError as error:
            return Sample(row=row, stack=stack.name, round=round_number, errors={str(error): 1})
        if isinstance(stack, Running) and stack.name == "Trunkline":
            self.sent[stack.folder] = self.sent.get(stack.folder, 0) + sample.requests + sample.warmed
        return sample

    @contextmanager
    def upstream(self, kind: str, tls: tuple[Path, Path] | None = None) -> Iterator[tuple[Child, Upstream]]:
        """`requests` is nginx where there is one, `events` the timed server."""
        folder = self.folder / f"upstream-{kind}{'-tls' if tls else ''}"
        if kind == "requests" and self.nginx:
            child, upstream = stacks.nginx_upstream(self.nginx, folder, self.where.rest, tls)
        else:
            child, upstream = events_upstream(folder, self.where.rest, tls)
        try:
            yield child, upstream
        finally:
            child.stop()

    @contextmanager
    def running(self, found: list[Stack], upstream: Upstream, phase: str) -> Iterator[list[Running]]:
        """All stacks, started; one that does not start is left out with a note."""
        with ExitStack() as stack:
            started = []
            for one in found:
                if running := self.start(one, upstream, phase):
                    stack.callback(running.stop)
                    started.append(running)
            for running in started:
                wait_idle(running.child)
            yield started

    def start(self, stack: Stack, upstream: Upstream, phase: str) -> Running | None:
        try:
            return Running(stack, upstream, self.folder / f"{phase}-{stack.name.split()[0].lower()}", self.where.stack)
        except RuntimeError as error:
            self.notes.append(f"{stack.name} did not start for {phase}: {str(error)[-300:]}")
            return None


def start_and_memory(lab: Lab, found: list[Stack]) -> None:
    """A first start (Trunkline makes its store), then starts as they are from then on, idle memory, and memory under
    open streams."""
    with lab.upstream("events") as (_, upstream):
        for stack in found:
            running = lab.start(stack, upstream, "memory")
            if running is None:
                continue
            try:
                _starts(lab, running)
                _held(lab, running)
            finally:
                running.stop()


def _starts(lab: Lab, running: Running) -> None:
    lab.add(Sample(row="ready_first_s", stack=running.name, round=1, value=running.ready_s))
    for number in range(1, lab.plan.starts + 1):
        lab.add(Sample(row="ready_s", stack=running.name, round=number, value=running.restart()))
    wait_idle(running.child)
    began, before = time.monotonic(), cpu_s(running.child.pids())
    time.sleep(lab.plan.idle_s)
    idle = (cpu_s(running.child.pids()) - before) / (time.monotonic() - began)
    lab.add(Sample(row="idle_cpu_ms_per_s", stack=running.name, round=1, value=idle * 1000))
    used = memory(running.child.pids())
    detail = {"rss_mb": used.rss_mb, "pss_mb": used.pss_mb}
    lab.add(Sample(row="memory_idle", stack=running.name, round=1, value=used.pss_mb, detail=detail))


def _held(lab: Lab, running: Running) -> None:
    for streams in lab.plan.held:
        order = LoadOrder(mode="hold", target=running.target, connections=streams, every_ms=lab.plan.held_every_ms)
        row = f"memory@{streams}"
        try:
            sample = held_memory(row, running, order, lab.where, lab.plan.held_settle_s)
        except RuntimeError as error:
            sample = Sample(row=row, stack=running.name, round=1, errors={str(error): 1})
        if sample.requests < streams:
            sample = msgspec.structs.replace(sample, value=None)
        lab.add(sample)


def requests_and_latency(lab: Lab, found: list[Stack]) -> None:
    """CPU per request in closed loops, then latencies at fixed rates beside those of the upstream itself."""
    with lab.upstream("requests") as (child, upstream), lab.running(found, upstream, "requests") as started:
        _cpu_per_request(lab, started, child, "cpu_request", lab.plan.rounds)
        direct = Direct(DIRECT, Target("127.0.0.1", upstream.port, "/v1/chat/completions", "alpha-1"), child)
        for number in range(1, lab.plan.latency_rounds + 1):
            for rate in lab.plan.rates:
                around: list[Measured] = [direct, *_turned(started, number)]
                for one in around:
                    _latency(lab, one, child, rate, number)
        _count_records(lab, started)


def events(lab: Lab, found: list[Stack]) -> None:
    with lab.upstream("events") as (child, upstream), lab.running(found, upstream, "events") as started:
        _cpu_per_event(lab, started, child, "cpu_event", lab.plan.rounds)
        _count_records(lab, started)


def with_tls(lab: Lab, found: list[Stack], certificate: tuple[Path, Path]) -> None:
    """The same CPU rows where the provider is reached by TLS, as real ones are."""
    with (
        lab.upstream("requests", certificate) as (child, upstream),
        lab.running(found, upstream, "tls-requests") as started,
    ):
        _cpu_per_request(lab, started, child, "cpu_request_tls", lab.plan.tls_rounds)
    with (
        lab.upstream("events", certificate) as (child, upstream),
        lab.running(found, upstream, "tls-events") as started,
    ):
        _cpu_per_event(lab, started, child, "cpu_event_tls", lab.plan.tls_rounds)


def _cpu_per_request(lab: Lab, started: list[Running], child: Child, row: str, rounds: int) -> None:
    for number in range(1, rounds + 1):
        for one in _turned(started, number):
            order = LoadOrder(
                mode="closed", target=one.target, connections=lab.plan.connections, seconds=lab.plan.request_s
            )
            sample = lab.measure(row, number, one, child, order)
            value = None if sample.errors or not sample.requests else sample.stack_cpu_s / sample.requests * 1e6
            lab.add(msgspec.structs.replace(sample, value=value))


def _cpu_per_event(lab: Lab, started: list[Running], child: Child, row: str, rounds: int) -> None:
    plan = lab.plan
    for number in range(1, rounds + 1):
        for one in _turned(started, number):
            order = LoadOrder(
                mode="streams", target=one.target, connections=plan.streams, events=plan.events, every_ms=plan.every_ms
            )
            sample = lab.measure(row, number, one, child, order)
            whole = sample.events >= plan.streams * plan.events
            value = sample.stack_cpu_s / sample.events * 1e6 if whole and not sample.errors else None
            lab.add(msgspec.structs.replace(sample, value=value))


def _latency(lab: Lab, one: Measured, child: Child, rate: int, number: int) -> None:
    """The value is the median in microseconds. A rate that the stack's one core cannot carry is left out."""
    cost_us = [s.value for s in lab.samples if s.row == "cpu_request" and s.stack == one.name and s.value]
    if cost_us and rate * min(cost_us) > 0.7e6:
        return
    order = LoadOrder(
        mode="open", target=one.target, connections=64, seconds=lab.plan.rates[rate], rate_per_s=rate, seed=number
    )
    sample = lab.measure(f"latency@{rate}", number, one, child, order)
    lab.add(msgspec.structs.replace(sample, value=None if sample.errors else sample.latency_us[50]))


def _count_records(lab: Lab, started: list[Running]) -> None:
    """The claim that records are on and durable is only worth something if they are all there."""
    for one in started:
        if one.name == "Trunkline":
            one.stop()
            stored = count(store_path(one.folder), "records")
            sent = lab.sent.get(one.folder, 0)
            lab.add(Sample(row="records", stack=one.name, round=1, value=stored, requests=sent))


def _turned(started: list[Running], number: int) -> list[Running]:
    """Another one begins in each round."""
    turn = number % len(started) if started else 0
    return started[turn:] + started[:turn]
