"""A thin client of Redis or Valkey: commands go out at once, one behind the other, and answers come in their order. In: commands. Out: replies.

Answers within a time or raises `Away`; a connection that is late is given up, since what it says next would be another's answer.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from typing import Any
from urllib.parse import unquote, urlsplit

import hiredis
import msgspec

from trunkline.errors import ConfigError, StoreError

_CONNECT_S = 2.0
_DEFAULT_PORT = 6379


class Away(StoreError):
    """It does not answer."""


class Address(msgspec.Struct, frozen=True):
    """Where it is. Not shown: it may hold a password."""

    host: str = ""
    port: int = _DEFAULT_PORT
    path: str = ""
    """Of a unix socket."""
    user: str = ""
    password: str = ""
    database: int = 0
    tls: bool = False

    def __repr__(self) -> str:
        return f"Address({self.shown})"

    @property
    def shown(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def address_of(url: str) -> Address:
    """`redis://user:password@host:port/0`, `rediss://` with TLS, `unix:///path?db=0`. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if parts.scheme == "unix":
            number = dict(pair.partition("=")[::2] for pair in parts.query.split("&")).get("db", "0")
            return Address(path=unquote(parts.path), user=user, password=password, database=int(number))
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            raise ValueError
        number = parts.path.strip("/") or "0"
        return Address(
            parts.hostname,
            parts.port or _DEFAULT_PORT,
            "",
            user,
            password,
            int(number),
            parts.scheme == "rediss",
        )
    except ValueError:
        raise ConfigError(
            "must be the address of Redis or Valkey, such as redis://127.0.0.1:6379/0, rediss://... or unix:///path",
            where="shared.url",
        ) from None


class RedisClient:
    """One connection, kept up by `connect`. Lives as long as the process; of one event loop."""

    def __init__(self, address: Address, timeout_s: float, scripts: dict[str, str], ca_file: str = "") -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._scripts = scripts
        self._ca_file = ca_file
        self._wire: _Wire | None = None
        self._digests: dict[str, str] = {}
        self._connecting = asyncio.Lock()

    @property
    def is_up(self) -> bool:
        """Whether it was there a moment ago."""
        return self._wire is not None and not self._wire.is_lost

    async def connect(self) -> None:
        """Make a connection, where there is none. Raises Away."""
        async with self._connecting:
            if not self.is_up:
                self._wire = await self._made()

    async def _made(self) -> "_Wire":
        wire: _Wire | None = None
        try:
            async with asyncio.timeout(_CONNECT_S):
                wire = await self._opened()
                address = self._address
                if address.password:
                    who = (address.user, address.password) if address.user else (address.password,)
                    await wire.ask(("AUTH", *who), self._timeout_s)
                if address.database:
                    await wire.ask(("SELECT", str(address.database)), self._timeout_s)
                for name, script in self._scripts.items():
                    digest = await wire.ask(("SCRIPT", "LOAD", script), self._timeout_s)
                    self._digests[name] = digest.decode()
        except BaseException as error:
            if wire is not None:
                wire.give_up(Away("not to be used"))
            if isinstance(error, OSError | TimeoutError):
                raise Away(f"{self._address.shown}: {error or 'does not answer'}") from error
            raise
        return wire

    def run(self, script: str, *values: str | bytes) -> "asyncio.Future[Any]":
        """Begin to run a script; its future gives the reply or raises Away. It is sent before this returns."""
        wire = self._wire
        if wire is None or wire.is_lost:
            raise Away(f"{self._address.shown}: away")
        return wire.ask(("EVALSHA", self._digests[script], "0", *values), self._timeout_s)

    def ask(self, *command: str | bytes) -> "asyncio.Future[Any]":
        """The same for any command."""
        wire = self._wire
        if wire is None or wire.is_lost:
            raise Away(f"{self._address.shown}: away")
        return wire.ask(command, self._timeout_s)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.give_up(Away("closed"))
            self._wire = None

    async def _opened(self) -> "_Wire":
        loop, address = asyncio.get_running_loop(), self._address

        def make() -> _Wire:
            return _Wire(loop)

        if address.path:
            _, wire = await loop.create_unix_connection(make, address.path)
            return wire
        tls = ssl.create_default_context(cafile=self._ca_file or None) if address.tls else None
        _, wire = await loop.create_connection(make, address.host, address.port, ssl=tls)
        return wire


class _Wire(asyncio.Protocol):
    """One connection. Lives until it is lost or given up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.is_lost = False

    def ask(self, command: tuple[str | bytes, ...], timeout_s: float) -> "asyncio.Future[Any]":
        """Send a command."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.is_lost or self._transport is None:
            future.set_exception(Away("the connection is lost"))
            return future
        until = self._loop.time() + timeout_s
        self._waiting.append((until, future))
        self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # of any length
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._look)
        return future

    def give_up(self, error: Exception) -> None:
        """No answer is to be had any more."""
        self.is_lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)
            # Nobody may wait for it any more.
            with contextlib.suppress(asyncio.CancelledError):
                future.exception()

    # As a protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # stream transports are all that is asked for; uvloop's are of its own class

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._answer(reply)
        except (hiredis.ProtocolError, IndexError):
            self.give_up(Away("it does not speak as Redis does"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.give_up(Away(f"the connection is lost: {exc or 'closed'}"))

    def _answer(self, reply: Any) -> None:
        _, future = self._waiting.popleft()
        if future.done():
            return
        if isinstance(reply, hiredis.ReplyError):
            # Loading after a start, a wrong password, scripts that were flushed: as good as away, and a new connection mends some of it.
            future.set_exception(Away(str(reply)))
            self._loop.call_soon(self.give_up, Away(str(reply)))
        else:
            future.set_result(reply)

    def _look(self) -> None:
        """Give up where the oldest answer is late."""
        self._timer = None
        waiting = self._waiting
        if not waiting:
            return
        now = self._loop.time()
        if waiting[0][0] <= now:
            self.give_up(Away("it does not answer in time"))
        else:
            self._timer = self._loop.call_at(waiting[0][0], self._look)
