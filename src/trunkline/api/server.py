"""The data plane's HTTP/1.1 server: an `App` answers what connections bring. In: sockets. Out: `Call`s, each answered by its `Handler`.

Its measured reason is docs/decisions/0003.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec

from trunkline.api.call import Call, Handler
from trunkline.api.connection import LINGER_S, ServerProtocol
from trunkline.api.listening import Listening
from trunkline.errors import Overloaded

App = Callable[[Call], Handler | None]
"""Called at the end of a head. None: the call has been answered, its body is thrown away."""


class Limits(msgspec.Struct, frozen=True):
    """Times in seconds."""

    head_s: float = 30.0
    """From the first byte of a head to its end."""
    body_s: float = 60.0
    """Between two reads of a body."""
    keep_alive_s: float = 75.0
    """Between an answer and the next request."""
    write_s: float = 60.0
    """In which a caller takes nothing of what waits for it (https://nginx.org/en/docs/http/ngx_http_core_module.html#send_timeout)."""


class Server:
    """All connections of one process. Lives from `start` to `stop`."""

    def __init__(self, app: App, log: Any, limits: Limits) -> None:
        self.app = app
        self.limits = limits
        self.log = log
        self.connections: set[ServerProtocol] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.stopping = self.leaving = False
        self.loop = asyncio.get_running_loop()
        self._listening = Listening(self.loop, lambda: ServerProtocol(self), limits.head_s)
        self._second = 0
        self._date = b""
        self._idle = asyncio.Event()

    async def start(self, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serve on a socket that listens."""
        await self._listening.on(listener, tls)

    async def start_at(self, path: Path) -> None:
        """Serve on a unix socket as well."""
        await self._listening.at(path)

    def say_farewell(self) -> None:
        """From now on each connection ends with its next answer, which says so: its caller makes the one after that elsewhere."""
        self.leaving = True
        for connection in self.connections:
            connection.end_with_answer()

    async def close_door(self) -> None:
        """No new connections, but for those that wait already."""
        await self._listening.close()

    async def stop(self, drain_s: float) -> None:
        """No new connections; idle ones end now, the others with their answer. What runs after `drain_s` is cancelled."""
        self.leaving = True
        await self.close_door()
        self.stopping = True
        for connection in list(self.connections):
            connection.drain()
        await self.settled(drain_s)
        for connection in list(self.connections):
            connection.refuse_unread(Overloaded("The gateway is being stopped.", retry_after_s=1.0))
            connection.take_up()
        # A task that is cancelled before its first step would end without a word.
        await asyncio.sleep(0)
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
        for connection in list(self.connections):
            connection.end()
        await self.settled(LINGER_S)
        for connection in list(self.connections):
            connection.transport.abort()

    async def settled(self, at_most_s: float) -> None:
        """Until the last connection has ended; none must be coming any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                while self.tasks or self.connections:
                    self._idle.clear()
                    await self._idle.wait()

    def date(self) -> bytes:
        """The line of the header, made once a second."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._date = b"date: %b\r\n" % formatdate(now, usegmt=True).encode()
        return self._date

    def ended(self) -> None:
        """A task or a connection is gone."""
        if self.leaving:
            self._idle.set()
