"""Bedrock's stream as its protocol's own events. In: an answer in AWS's frames. Out: the same `UpstreamResponse`, as server-sent events."""

import asyncio

from trunkline.execution.transport.types import Malformed, Take, Truncated, UpstreamResponse
from trunkline.providers.eventstream import BedrockEvents, Broken

_EVENTS = (b"content-type", b"text/event-stream")


class Framed:
    """Lives as long as the answer that it wraps."""

    def __init__(self, response: UpstreamResponse) -> None:
        self._response = response
        self._events = BedrockEvents()
        self.status = response.status
        self.headers = [header for header in response.headers if header[0] != b"content-type"] + [_EVENTS]
        self.reused = response.reused
        self.sent_at = response.sent_at

    @property
    def idle_s(self) -> float:
        return self._response.idle_s

    @idle_s.setter
    def idle_s(self, value: float) -> None:
        self._response.idle_s = value

    async def chunk(self) -> bytes:
        while data := await self._response.chunk():
            if out := self._made_of(data):
                return out
        self._check_end()
        return b""

    async def pump(self, take: Take) -> None:
        def framed(data: bytes) -> "asyncio.Future[None] | None":
            out = self._made_of(data)
            return take(out) if out else None

        await self._response.pump(framed)
        self._check_end()

    async def read(self, limit_bytes: int) -> bytes:
        return await self._response.read(limit_bytes)

    def abort(self) -> None:
        self._response.abort()

    def _made_of(self, data: bytes) -> bytes:
        try:
            return self._events.feed(data)
        except Broken as error:
            raise Malformed(f"the stream's frames are broken: {error}") from error

    def _check_end(self) -> None:
        if self._events.cut:
            raise Truncated("the stream ended inside a frame")
