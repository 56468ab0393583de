"""The upstream of the stream rows and of translation: a small HTTP/1.1 server that speaks the four protocols and emits
one write an event, at set times, as a provider does.

In: a request, whose path tells the protocol; `bench events=N every_ms=M` in its text asks for a stream of N events of
text, one each M ms. Out: that stream, or a canned answer. Streams are spread over the milliseconds, so that their
events come one by one and not in bursts. Prints its port when it listens.
"""

import argparse
import asyncio
import re
import ssl
import sys
from collections import defaultdict
from typing import cast

import httptools
import uvloop

from bench.answers import Voice, protocol_of, voices

_DIRECTIVE = re.compile(rb"bench events=(\d+) every_ms=(\d+)")
_WANTS_USAGE = re.compile(rb'"include_usage"\s*:\s*true')
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


class Stream:
    """The rest of one answer, from its first event on."""

    __slots__ = ("event", "events", "every_ms", "left", "transport", "usage", "voice")

    def __init__(self, transport: asyncio.Transport, voice: Voice, events: int, every_ms: int, usage: bool) -> None:
        self.transport = transport
        self.voice = voice
        self.event = voice.event
        self.events = self.left = events
        self.every_ms = every_ms
        self.usage = usage

    def emit(self) -> bool:
        """Writes the next event; whether there are more."""
        if self.transport.is_closing():
            return False
        if self.left > 0:
            self.left -= 1
            self.transport.write(self.event)
            return True
        self.transport.write(self.voice.end(self.events, self.usage))
        return False


class Wheel:
    """Streams by the millisecond at which they are due; lives as long as the server. A late tick is made up for at
    once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.due: defaultdict[int, list[Stream]] = defaultdict(list)
        self.tick = 0
        self.origin = loop.time()
        self.started = 0
        self.ticking = False

    def add(self, stream: Stream) -> None:
        """Its first event comes within its interval, at a place of its own in it."""
        if not self.ticking:
            self.ticking = True
            self.origin = self.loop.time() - self.tick / 1000
            self.loop.call_soon(self._turn)
        self.started += 1
        self.due[self.tick + 1 + self.started % max(stream.every_ms, 1)].append(stream)

    def _turn(self) -> None:
        now = int((self.loop.time() - self.origin) * 1000)
        while self.tick < now:
            self.tick += 1
            for stream in self.due.pop(self.tick, ()):
                if stream.emit():
                    self.due[self.tick + max(stream.every_ms, 1)].append(stream)
        self.ticking = bool(self.due)
        if self.ticking:
            self.loop.call_at(self.origin + (self.tick + 1) / 1000, self._turn)


class Server(asyncio.Protocol):
    """One connection of a client; requests come one after the other."""

    def __init__(self, wheel: Wheel, voices: dict[str, Voice]) -> None:
        self.wheel = wheel
        self.voices = voices
        self.parser = httptools.HttpRequestParser(self)
        self.path = b""
        self.body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_message_begin(self) -> None:
        self.path = b""
        self.body = bytearray()

    def on_url(self, url: bytes) -> None:
        self.path += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        asked = _DIRECTIVE.search(self.body)
        voice = self.voices[protocol_of(self.path)]
        if asked is None:
            body = voice.answer
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            return
        self.transport.write(_STREAM_HEAD + voice.begin)
        usage = bool(_WANTS_USAGE.search(self.body))
        self.wheel.add(Stream(self.transport, voice, int(asked[1]), int(asked[2]), usage))


async def serve(certificate: str, key: str) -> None:
    loop = asyncio.get_running_loop()
    wheel, speaks = Wheel(loop), voices()
    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
    server = await loop.create_server(lambda: Server(wheel, speaks), "127.0.0.1", 0, backlog=4096, ssl=tls)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificate", default="")
    parser.add_argument("--key", default="")
    given = parser.parse_args()
    uvloop.run(serve(given.certificate, given.key))


if __name__ == "__main__":
    main()
