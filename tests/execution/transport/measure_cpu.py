"""CPU of the client for one request and for one event of a stream. In: nothing. Out: lines on stdout.

`.venv/bin/python tests/execution/transport/measure_cpu.py`. The server is another process; the figure is the CPU time
(user and system, from os.times) of this process, in which nothing but the client and its event loop runs.
"""

import asyncio
import multiprocessing
import os
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from trunkline.execution.transport.client import HttpTransport
from trunkline.execution.transport.options import TransportOptions
from trunkline.execution.transport.types import Origin, UpstreamRequest

BODY = b'{"model":"o4-mini","messages":[{"role":"user","content":"' + b"x" * 400 + b'"}]}'
HEAD = (
    b"HTTP/1.1 200 OK\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nContent-Type: %b\r\nServer: test\r\n"
    b"x-request-id: req_0123456789\r\nopenai-processing-ms: 12\r\nx-ratelimit-remaining-requests: 99\r\n"
    b"x-ratelimit-remaining-tokens: 1000\r\nstrict-transport-security: max-age=31536000\r\ncache-control: no-cache\r\n"
)
SMALL = HEAD % b"application/json" + b"Content-Length: 600\r\n\r\n" + b"y" * 600
EVENT = b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"word "}}]}' + b" " * 60 + b"\n\n"
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
EVENTS = 200


class Answerer(asyncio.Protocol):
    """Answers every read with one whole answer, or with a stream whose events are written one by one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.left = 0

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"POST /stream"):
            self.transport.write(HEAD % b"text/event-stream" + b"Transfer-Encoding: chunked\r\n\r\n")
            self.left = EVENTS
            asyncio.get_running_loop().call_later(0.001, self.more)
        else:
            self.transport.write(SMALL)

    def more(self) -> None:
        self.left -= 1
        self.transport.write(CHUNK if self.left else b"0\r\n\r\n")
        if self.left:
            asyncio.get_running_loop().call_later(0.001, self.more)


def serve(ready: multiprocessing.Queue) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Answerer, "127.0.0.1", 0)
        ready.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


def request(port: int, target: bytes, number: int) -> UpstreamRequest:
    return UpstreamRequest(
        origin=Origin("http", "127.0.0.1", port, guarded=False),
        method=b"POST",
        target=target,
        headers=(
            (b"Authorization", b"Bearer sk-0123456789"),
            (b"Content-Type", b"application/json"),
            (b"X-Request-Id", b"%d" % number),
            (b"User-Agent", b"acme/1.0"),
        ),
        body=BODY,
    )


async def small_requests(transport: HttpTransport, port: int, count: int) -> int:
    for number in range(count):
        response = await transport.send(request(port, b"/v1/chat/completions", number))
        while await response.chunk():
            pass
    return count


async def streams(transport: HttpTransport, port: int, count: int) -> int:
    async def one() -> int:
        response = await transport.send(request(port, b"/stream", 0))
        reads = 0
        while await response.chunk():
            reads += 1
        return reads

    return sum(await asyncio.gather(*(one() for _ in range(count))))


async def measure(label: str, work: Callable[[HttpTransport, int, int], Awaitable[int]], port: int, count: int) -> None:
    transport = HttpTransport(TransportOptions())
    await work(transport, port, min(count, 200))
    before, started = os.times(), time.perf_counter()
    units = await work(transport, port, count)
    after, wall_s = os.times(), time.perf_counter() - started
    cpu_us = (after.user + after.system - before.user - before.system) * 1e6 / units
    user_us = (after.user - before.user) * 1e6 / units
    print(f"{label}: {cpu_us:.1f} us CPU ({user_us:.1f} user), {units} units in {wall_s:.1f} s")
    await transport.aclose()


async def main(port: int) -> None:
    for _ in range(3):
        await measure("request", small_requests, port, 20_000)
        await measure("event (32 streams)", streams, port, 32)


if __name__ == "__main__":
    ready: multiprocessing.Queue = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(ready,), daemon=True)
    server.start()
    runner = asyncio.run if "--asyncio" in sys.argv else uvloop.run
    runner(main(ready.get()))
    server.terminate()
