"""A provider on raw sockets, whose every byte a test decides: `upstream.plays(provider, model, script, ...)`.

A script is a function of one `Call`, run in the thread of its connection, so that it can send, wait and break off in
plain order. Calls of one offer play its scripts in turn, the last one again and again. Paths are `/PROVIDER/v1/...`.
"""

import contextlib
import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

DEADLINE_S = 20.0
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n"
DONE = b"data: [DONE]\n\n"


class Call:
    """One request as it came, and the way to answer it. Lives until its script ends."""

    def __init__(self, connection: socket.socket, head: bytes, body: bytes) -> None:
        self._connection = connection
        self.head = head
        self.body = body
        line, *headers = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = line.split(" ")
        self.provider = self.path.split("/")[1]
        self.headers = [(name.lower(), value.strip()) for name, _, value in (one.partition(":") for one in headers)]
        self.json: dict[str, Any] = json.loads(body) if body else {}
        named = re.search(r"/models/([^:]+):", self.path)
        self.model = named[1] if named else str(self.json.get("model"))
        """What the provider calls the model; Gemini has it in the path."""
        self.streamed = bool(self.json.get("stream")) or ":streamGenerateContent" in self.path
        self.broken = False
        """The connection cannot take another request."""
        self.left = threading.Event()
        """The gateway has closed its side."""
        self.sent_bytes = 0
        self._gate = threading.Event()

    def header(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known == name), None)

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)
        self.sent_bytes += len(data)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """A whole answer; the connection stays open."""
        told = {"content-type": "application/json", "content-length": str(len(body))} | (headers or {})
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        self.send(f"HTTP/1.1 {status} Word\r\n{lines}\r\n".encode("latin-1") + body)

    def pause(self) -> None:
        """Wait until the test says `go_on`."""
        assert self._gate.wait(DEADLINE_S), "the test never let this call go on"
        self._gate.clear()

    def go_on(self) -> None:
        self._gate.set()

    def close(self) -> None:
        self.broken = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """End the connection with RST."""
        self.broken = True
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def stall(self) -> None:
        """Say nothing more until the gateway leaves."""
        self.broken = True
        with contextlib.suppress(OSError):
            while self._connection.recv(65_536):
                pass
        self.left.set()


Script = Callable[[Call], None]


class Upstream:
    """Lives until `stop`: a listening socket, a thread for each connection, the calls so far."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._scripts: dict[tuple[str, str], list[Script]] = {}
        self._calls: list[Call] = []
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, provider: str) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/{provider}/v1"

    def plays(self, provider: str, model: str, *scripts: Script) -> None:
        """What the offer of this upstream model at this provider does, call after call."""
        self._scripts[provider, model] = list(scripts)

    def calls(self, model: str) -> list[Call]:
        """The calls for an upstream model so far, in order, whoever the provider was."""
        with self._changed:
            return [call for call in self._calls if call.model == model]

    def call(self, model: str, number: int = 0) -> Call:
        """A call that has come or will come."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self._for(model)) > number, DEADLINE_S)
            assert came, f"no call number {number} for {model} came"
            return self._for(model)[number]

    def stop(self) -> None:
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _for(self, model: str) -> list[Call]:
        return [call for call in self._calls if call.model == model]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.add(connection)
        try:
            with contextlib.suppress(OSError):
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._requests(connection)
        finally:
            self._open.discard(connection)
            connection.close()

    def _requests(self, connection: socket.socket) -> None:
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                more = connection.recv(65_536)
                if not more:
                    return
                rest += more
            head, _, rest = rest.partition(b"\r\n\r\n")
            length = _length(head)
            parts = [rest]
            while sum(map(len, parts)) < length:
                parts.append(connection.recv(1_048_576))
            rest = b"".join(parts)
            call = Call(connection, head, rest[:length])
            rest = rest[length:]
            try:
                self._next(call)(call)
            except OSError:
                call.left.set()
                raise
            if call.broken or b"connection: close" in head.lower():
                return

    def _next(self, call: Call) -> Script:
        key = (call.provider, call.model)
        with self._changed:
            self._calls.append(call)
            self._changed.notify_all()
            scripts = self._scripts.get(key)
            if not scripts:
                return unexpected
            return scripts.pop(0) if len(scripts) > 1 else scripts[0]


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def unexpected(call: Call) -> None:
    call.answer(500, b'{"error":{"message":"this call was not expected by the test"}}')


# --- scripts


def says(text: str = "hello", **more: Any) -> Script:
    """The answer to anything, streamed or not, with a usage of 10 and 5 tokens."""

    def script(call: Call) -> None:
        if call.json.get("stream"):
            call.send(STREAM_HEAD + stream_of(text, **more))
            call.close()
        else:
            call.answer(200, completion(text, **more))

    return script


def fails(status: int, message: str = "no words", *, headers: dict[str, str] | None = None, **error: Any) -> Script:
    """An error status with an error body in OpenAI's shape."""
    body = json.dumps({"error": {"message": message, "type": "some_error", "param": None, "code": None} | error})
    return lambda call: call.answer(status, body.encode(), headers)


def streams(*steps: bytes | Script) -> Script:
    """The head of a stream, then bytes and acts in order; the end of the connection is the end of the stream."""

    def script(call: Call) -> None:
        call.send(STREAM_HEAD)
        for step in steps:
            if isinstance(step, bytes):
                call.send(step)
            else:
                step(call)
        if not call.broken:
            call.close()

    return script


def thinks(seconds: float) -> Script:
    """A provider that needs so long for what comes next."""

    def script(call: Call) -> None:
        call.left.wait(seconds)

    return script


USAGE: dict[str, Any] = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def completion(
    text: str = "hello", *, usage: Any = USAGE, answer_id: str = "chatcmpl-1", finish: str = "stop"
) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    fields = {"id": answer_id, "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return json.dumps(fields | ({} if usage is None else {"usage": usage})).encode()


def chunk(delta: dict[str, Any], *, finish: str | None = None, answer_id: str = "chatcmpl-1", **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    fields = {"id": answer_id, "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(fields | more).encode() + b"\n\n"


def usage_chunk(usage: Any = USAGE, answer_id: str = "chatcmpl-1") -> bytes:
    fields = {"id": answer_id, "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
    return b"data: " + json.dumps(fields | {"usage": usage}).encode() + b"\n\n"


def stream_of(text: str = "hello", *, usage: Any = USAGE, answer_id: str = "chatcmpl-1", finish: str = "stop") -> bytes:
    """A whole stream: role, the text in one delta, the end, usage, [DONE]."""
    parts = [
        chunk({"role": "assistant", "content": ""}, answer_id=answer_id),
        chunk({"content": text}, answer_id=answer_id),
        chunk({}, finish=finish, answer_id=answer_id),
        b"" if usage is None else usage_chunk(usage, answer_id),
        DONE,
    ]
    return b"".join(parts)


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.stop()
