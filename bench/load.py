"""The load generator, a process of its own: `python -m bench.load ORDER`, ORDER a `LoadOrder` as JSON.

It warms up, prints `ready`, waits for a line, does the measured part, prints `done`, waits for a line (so that
whoever ordered it can read the CPU clocks in between) and prints the `LoadResult` as JSON. Callbacks only: no task
per request.
"""

import asyncio
import ctypes
import os
import random
import resource
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable
from typing import cast

import httptools
import msgspec
import uvloop

from bench import bodies
from bench.types import PERCENTILES, LoadOrder, LoadResult, Target

_DRAIN_S = 5.0
_RAMP_PER_S = 2000
_RAMP_STEP = 100


def request_bytes(target: Target, text: str, stream: bool, size_bytes: int = 0, image: bool = False) -> bytes:
    """A request as the official SDKs send it, but for their telemetry headers."""
    body = bodies.body(target.protocol, target.model, text, stream=stream, size_bytes=size_bytes, image=image)
    head = [
        f"POST {bodies.path(target.path, target.model, stream)} HTTP/1.1",
        f"Host: {target.host}:{target.port}",
        "Accept: application/json",
        "Content-Type: application/json",
        "User-Agent: bench",
        *(f"{name}: {value}" for name, value in target.headers.items()),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Connection(asyncio.Protocol):
    """A kept-alive connection with at most one request under way; lives for the whole run."""

    def __init__(self, on_end: Callable[["Connection", str], None]) -> None:
        self.on_end = on_end
        self.parser = httptools.HttpResponseParser(self)
        self.due_ns = 0
        self.busy = False
        self.events = 0
        self.reads = 0
        self.tail = b""
        self.first_event = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, due_ns: int) -> None:
        self.due_ns = due_ns
        self.busy = True
        if self.transport.is_closing():
            self._end("connection closed before the request")
            return
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.transport.abort()
            self._end(type(error).__name__)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("connection lost")

    def on_body(self, body: bytes) -> None:
        # An event ends at an empty line; one that was cut there is seen with the last byte of the read before.
        seen = self.tail + body
        if b"\r" in seen:
            seen = seen.replace(b"\r", b"")
        self.events += seen.count(b"\n\n")
        self.tail = b"\n" if seen.endswith(b"\n") and not seen.endswith(b"\n\n") else b""
        self.reads += 1
        if not self.first_event.is_set():
            self.first_event.set()

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        self._end("" if status == 200 else f"status {status}")

    def _end(self, error: str) -> None:
        if self.busy:
            self.busy = False
            self.first_event.set()
            self.on_end(self, error)


class Run:
    """What all modes share: the connections, the counts, and the end."""

    def __init__(self, order: LoadOrder) -> None:
        self.order = order
        self.loop = asyncio.get_running_loop()
        self.connections: list[Connection] = []
        self.latency_ns = array("q")
        self.lag_ns = array("q")
        self.errors: Counter[str] = Counter()
        self.requests = 0
        self.warmed = 0
        self.last_ns = 0
        self.began_ns = 0
        self.began_cpu_s = 0.0
        self.finished = self.loop.create_future()

    async def connect(self, count: int, on_end: Callable[[Connection, str], None]) -> list[Connection]:
        target = self.order.target
        pairs = await asyncio.gather(
            *(self.loop.create_connection(lambda: Connection(on_end), target.host, target.port) for _ in range(count))
        )
        made = [connection for _, connection in pairs]
        self.connections += made
        return made

    def count(self, connection: Connection, error: str) -> None:
        self.last_ns = time.perf_counter_ns()
        self.requests += 1
        self.latency_ns.append(self.last_ns - connection.due_ns)
        if error:
            self.errors[error] += 1

    async def start_measured(self) -> None:
        """Forgets the warming, says `ready`, waits for the word, and starts the clocks."""
        self.warmed, self.requests = self.requests, 0
        self.finished = self.loop.create_future()
        self.errors.clear()
        del self.latency_ns[:], self.lag_ns[:]
        for connection in self.connections:
            connection.events = connection.reads = 0
        await until_told("ready")
        self.began_cpu_s, self.began_ns = own_cpu_s(), time.perf_counter_ns()

    def finish(self) -> None:
        if not self.finished.done():
            self.finished.set_result(None)

    def result(self) -> LoadResult:
        return LoadResult(
            requests=self.requests,
            warmed=self.warmed,
            errors=dict(self.errors),
            wall_s=(self.last_ns - self.began_ns) / 1e9,
            own_cpu_s=own_cpu_s() - self.began_cpu_s,
            latency_us=quantiles_us(self.latency_ns),
            lag_us=quantiles_us(self.lag_ns),
            events=sum(connection.events for connection in self.connections),
            reads=sum(connection.reads for connection in self.connections),
        )

    def close(self) -> None:
        for connection in self.connections:
            connection.busy = False
            connection.transport.abort()


def quantiles_us(values_ns: "array[int]") -> list[float]:
    """The values at `PERCENTILES`, nearest rank, in microseconds; empty for none."""
    ranked = sorted(values_ns)
    last = len(ranked) - 1
    return [round(ranked[round(last * percent / 100)] / 1000, 1) for percent in PERCENTILES] if ranked else []


class Timer:
    """Wakes `on_due` at a CLOCK_MONOTONIC time. The loop's own timers count whole milliseconds, too coarse for
    latencies of 100 µs, so this is a timerfd (timerfd_create(2)) through libc: Python has it only from 3.13 on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_due: Callable[[], None]) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = self.libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK)
        self.loop = loop
        loop.add_reader(self.fd, self._fired, on_due)

    def at(self, due_ns: int) -> None:
        # struct itimerspec: interval (none), then value, each as seconds and nanoseconds. Flag 1 is TFD_TIMER_ABSTIME.
        spec = (ctypes.c_long * 4)(0, 0, *divmod(max(due_ns, 1), 1_000_000_000))
        if self.libc.timerfd_settime(self.fd, 1, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    def close(self) -> None:
        self.loop.remove_reader(self.fd)
        os.close(self.fd)

    def _fired(self, on_due: Callable[[], None]) -> None:
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            return
        on_due()


async def until_told(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def closed(run: Run) -> None:
    """Each connection sends the next request as soon as the answer to the last is there."""
    order = run.order
    request = request_bytes(order.target, "Say hello.", False, order.body_bytes, order.image)
    ends = {"ns": 0, "requests": order.warm_requests, "open": 0}

    def on_end(connection: Connection, error: str) -> None:
        run.count(connection, error)
        if run.last_ns < ends["ns"] or run.requests < ends["requests"]:
            connection.send(request, time.perf_counter_ns())
            return
        ends["open"] -= 1
        if not ends["open"]:
            run.finish()

    def start() -> None:
        ends["open"] = len(run.connections)
        for connection in run.connections:
            connection.send(request, time.perf_counter_ns())

    await run.connect(order.connections, on_end)
    start()
    await run.finished
    await run.start_measured()
    ends["requests"] = 0
    ends["ns"] = time.perf_counter_ns() + int(order.seconds * 1e9)
    start()
    await run.finished


async def open_loop(run: Run) -> None:
    """Requests at drawn times (a Poisson process of the given rate, the same for each stack by its seed), whatever
    the answers do. One that finds no idle connection waits for one, and its latency counts from the time it was
    due."""
    order = run.order
    request = request_bytes(order.target, "Say hello.", stream=False)
    idle: deque[Connection] = deque()
    waiting: deque[int] = deque()
    due: deque[int] = deque()
    total = round(order.rate_per_s * order.seconds)
    awaited = {"requests": order.connections}

    def send(connection: Connection, due_ns: int) -> None:
        run.lag_ns.append(time.perf_counter_ns() - due_ns)
        connection.send(request, due_ns)

    def on_end(connection: Connection, error: str) -> None:
        run.count(connection, error)
        if waiting:
            send(connection, waiting.popleft())
        else:
            idle.append(connection)
        if run.requests == awaited["requests"]:
            run.finish()

    def on_due() -> None:
        while due and due[0] <= time.perf_counter_ns():
            due_ns = due.popleft()
            if idle:
                send(idle.pop(), due_ns)
            else:
                waiting.append(due_ns)
        if due:
            timer.at(due[0])

    timer = Timer(run.loop, on_due)
    for connection in await run.connect(order.connections, on_end):
        connection.send(request, time.perf_counter_ns())
    await run.finished
    await run.start_measured()
    awaited["requests"] = total
    draw = random.Random(order.seed)
    at = time.perf_counter_ns() + 5_000_000
    for _ in range(total):
        at += int(draw.expovariate(order.rate_per_s) * 1e9)
        due.append(at)
    timer.at(due[0])
    async with asyncio.timeout(order.seconds * 2 + _DRAIN_S):
        await run.finished
    timer.close()


async def streams(run: Run) -> None:
    """All connections have a timed stream each, at once; the measured part ends with the last of them."""
    order = run.order
    left = {"open": 0}

    def on_end(connection: Connection, error: str) -> None:
        run.count(connection, error)
        left["open"] -= 1
        if not left["open"]:
            run.finish()

    def start(events: int) -> None:
        left["open"] = len(run.connections)
        request = request_bytes(order.target, f"bench events={events} every_ms={order.every_ms}", stream=True)
        for connection in run.connections:
            connection.send(request, time.perf_counter_ns())

    await run.connect(order.connections, on_end)
    start(max(order.events // 10, 1))
    await run.finished
    await run.start_measured()
    start(order.events)
    async with asyncio.timeout(order.events * order.every_ms / 1000 * 3 + 60):
        await run.finished


async def hold(run: Run) -> None:
    """Opens streams and keeps them, slowly fed; ready when each has got an event. The result counts those still alive
    as requests."""
    order = run.order
    request = request_bytes(order.target, f"bench events=1000000 every_ms={order.every_ms}", stream=True)
    for opened in range(0, order.connections, _RAMP_STEP):
        count = min(_RAMP_STEP, order.connections - opened)
        for connection in await run.connect(count, run.count):
            connection.send(request, time.perf_counter_ns())
        await asyncio.sleep(_RAMP_STEP / _RAMP_PER_S)
    async with asyncio.timeout(120):
        for connection in run.connections:
            await connection.first_event.wait()
    await run.start_measured()
    await until_told("held")
    run.requests = sum(connection.busy for connection in run.connections)


MODES = {"closed": closed, "open": open_loop, "streams": streams, "hold": hold}


async def main(order: LoadOrder) -> None:
    run = Run(order)
    await MODES[order.mode](run)
    result = run.result()
    await until_told("done")
    run.close()
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")


def own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    uvloop.run(main(msgspec.json.decode(sys.argv[1], type=LoadOrder)))
