"""A provider that says exactly the bytes it is told, over real sockets. In: a script for a connection. Out: a port."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RawPeer:
    """Lives for one test. Counts connections and keeps what its scripts have read of requests."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.port = 0
        self.connections = 0
        self.open = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def read_request(self, reader: asyncio.StreamReader) -> bytes:
        """The next request's head; raises `IncompleteReadError` when the client has closed."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        self.heads.append(head)
        self.bodies.append(await reader.readexactly(length))
        return head

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            await self.script(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has closed, or the test has ended
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def peer_of(script: Script, *, tls: ssl.SSLContext | None = None, unix_path: str = "") -> AsyncIterator[RawPeer]:
    peer = RawPeer(script)
    if unix_path:
        server = await asyncio.start_unix_server(peer.serve_connection, unix_path)
    else:
        server = await asyncio.start_server(peer.serve_connection, "127.0.0.1", 0, ssl=tls)
        peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        await peer.stop()


@asynccontextmanager
async def peer_saying(*answers: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawPeer]:
    """Each request, on whichever connection, gets the next answer; after the last one the connection is closed."""
    left = iter(answers)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await peer.read_request(reader)
            answer = next(left, None)
            if answer is None:
                return
            writer.write(answer)
            await writer.drain()

    async with peer_of(script, tls=tls) as peer:
        yield peer


@asynccontextmanager
async def peer_saying_once(pieces: Iterable[bytes]) -> AsyncIterator[RawPeer]:
    """Every connection: one request is read, the pieces are written one by one, the connection is closed."""
    pieces = list(pieces)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.read_request(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.write_eof()
        await reader.read()

    async with peer_of(script) as peer:
        yield peer


async def until(condition: Callable[[], bool]) -> None:
    """Turns the loop until the condition holds: for what happens in another turn and tells nobody."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # the condition has no event: it is a count in the code under test
            await asyncio.sleep(0)
