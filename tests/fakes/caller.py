"""A caller's connection without a socket. In: what the caller asks. Out: a `Call`, and what was written to it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from trunkline.api.call import Call
from trunkline.execution.respond import Headers, Reply


class CallerConnection:
    """Lives for one request. It is its own transport."""

    def __init__(self, peer: str = "192.0.2.1") -> None:
        self.transport = self
        self.is_full = False
        self.peer = peer
        self.scheme = "http"
        self.written = b""
        self.ended = False
        self.task: asyncio.Task[None] | None = None
        """Of what was begun without one."""

    def call(self, target: bytes = b"/", *headers: tuple[bytes, bytes], method: str = "GET") -> Call:
        return Call(self, method, target, list(headers), keep_alive=True, http_10=False)  # type: ignore[arg-type]

    def reply(self, call: Call, request_id: str = "req_1") -> Reply:
        return Reply(call, request_id, asyncio.get_running_loop())

    def write(self, data: bytes) -> None:
        self.written += data

    def date(self) -> bytes:
        return b""

    def room(self) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()

    def answered(self, call: Call) -> None:
        self.ended = call.answered

    def go_on(self, call: Call, work: Coroutine[Any, Any, None]) -> None:
        self.task = asyncio.get_running_loop().create_task(work)

    @property
    def status(self) -> int:
        return int(self.written[9:12])

    @property
    def headers(self) -> Headers:
        lines = self.written.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]

    @property
    def body(self) -> bytes:
        """Of an answer that has a length."""
        return self.written.partition(b"\r\n\r\n")[2]
