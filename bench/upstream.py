"""The upstream of the stream rows: a small HTTP/1.1 server that emits chat completion chunks one write an event, at
set times, as a provider does.

In: a chat request; `bench events=N every_ms=M` in its text asks for a stream of N content events, one each M ms. Out:
that stream, or a canned answer. Streams are spread over the milliseconds, so that their events come one by one and
not in bursts. Prints its port when it listens.
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

ANSWER_TEXT = "Hello! How can I help you today?"
_DIRECTIVE = re.compile(rb"bench events=(\d+) every_ms=(\d+)")
_WANTS_USAGE = re.compile(rb'"include_usage"\s*:\s*true')
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def answer(model: str, ident: str) -> str:
    """A chat completion as OpenAI gives it, with usage; also what nginx serves in the request rows."""
    return (
        f'{{"id":"chatcmpl-{ident}","object":"chat.completion","created":1764000000,"model":"{model}","choices":[{{"index":0,"message":'
        f'{{"role":"assistant","content":"{ANSWER_TEXT}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":19,'
        '"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":'
        '{"reasoning_tokens":0,"audio_tokens":0}},"service_tier":"default","system_fingerprint":"bench"}'
    )


def _chunk(choices: str, usage: str = "") -> bytes:
    event = (
        'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1764000000,"model":"alpha-1",'
        f'"service_tier":"default","system_fingerprint":"bench","choices":{choices}{usage}}}\n\n'
    ).encode()
    return _framed(event)


def _framed(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


def _delta(delta: str, finish: str = "null") -> str:
    return f'[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]'


ROLE = _chunk(_delta('{"role":"assistant","content":"","refusal":null}'))
CONTENT = _chunk(_delta('{"content":" token"}'))
FINISH = _chunk(_delta("{}", '"stop"'))
USAGE = _chunk("[]", ',"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}')
DONE = _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Stream:
    """The rest of one answer, from its first event on."""

    __slots__ = ("every_ms", "left", "transport", "usage")

    def __init__(self, transport: asyncio.Transport, events: int, every_ms: int, usage: bool) -> None:
        self.transport = transport
        self.left = events
        self.every_ms = every_ms
        self.usage = usage

    def emit(self) -> bool:
        """Writes the next event; whether there are more."""
        if self.transport.is_closing():
            return False
        if self.left > 0:
            self.left -= 1
            self.transport.write(CONTENT)
            return True
        self.transport.write(FINISH + (USAGE if self.usage else b"") + DONE)
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

    def __init__(self, wheel: Wheel) -> None:
        self.wheel = wheel
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_message_begin(self) -> None:
        self.body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        asked = _DIRECTIVE.search(self.body)
        if asked is None:
            body = answer("alpha-1", "bench").encode()
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            return
        self.transport.write(_STREAM_HEAD + ROLE)
        usage = bool(_WANTS_USAGE.search(self.body))
        self.wheel.add(Stream(self.transport, int(asked[1]), int(asked[2]), usage))


async def serve(certificate: str, key: str) -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
    server = await loop.create_server(lambda: Server(wheel), "127.0.0.1", 0, backlog=4096, ssl=tls)
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
