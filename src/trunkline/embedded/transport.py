"""Requests for local models, brought to the child in the form that it needs; all others go to the inner transport as
they are.

In: `UpstreamRequest` whose host is `LOCAL_HOST` and whose body is an OpenAI chat request. Out: `UpstreamResponse` in
OpenAI's form.
The child is always asked for a stream: one that is left frees its slot at once (measured: 0.06 s), any other answer
is written to its end.
"""

import asyncio
import time
from collections.abc import Callable

import msgspec

from trunkline.embedded.supervisor import LocalModels
from trunkline.errors import InvalidParams
from trunkline.execution.transport.types import (
    ConnectFailed,
    Malformed,
    Origin,
    Reset,
    Take,
    Transport,
    Truncated,
    UpstreamRequest,
    UpstreamResponse,
    pump_chunks,
)
from trunkline.protocols.openai_chat import small_answers, small_calls, small_models

LOCAL_HOST = "local-models.invalid"
"""Stands for the children in a provider's base URL. `.invalid` never resolves (RFC 2606), so a request that strays
goes nowhere."""
ERROR_LIMIT_BYTES = 64 * 1024
JSON = ((b"content-type", b"application/json"),)
EVENTS = ((b"content-type", b"text/event-stream; charset=utf-8"),)


class SmallModelTransport:
    """Decorates a transport. Lives as long as it; stops the local models when it is closed."""

    def __init__(self, inner: Transport, models: LocalModels, call_id: Callable[[], str]) -> None:
        self._inner = inner
        self._models = models
        self._call_id = call_id
        self._checker_loaded = False

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """As `Transport.send`. Raises EmbeddedUnavailable where the model cannot run."""
        if request.origin.host != LOCAL_HOST:
            return await self._inner.send(request)
        try:
            plan = small_models.prepare(request.body)
        except InvalidParams as error:
            return _Ready(400, JSON, small_models.invalid(error))
        if plan.mode == "auto" and not self._checker_loaded:
            await asyncio.to_thread(small_calls.load_checker)
            self._checker_loaded = True
        asked = _Asked(self._inner, self._models, request, plan.model)
        response = await asked.ask(plan)
        if response.status != 200:
            return await _refused(asked, response)
        answer = small_answers.Answer(plan, self._call_id)
        if plan.streamed:
            return _Streamed(asked, response, plan, answer)
        return await _whole(asked, response, plan, answer)

    async def aclose(self) -> None:
        await self._models.stop()
        await self._inner.aclose()


class _Asked:
    """The calls of the child that one request makes. Lives until its answer is read or left; keeps the child from
    being idle meanwhile."""

    def __init__(self, inner: Transport, models: LocalModels, request: UpstreamRequest, model: str) -> None:
        self._inner = inner
        self._models = models
        self._request = request
        self._model = model
        self._busy = False

    async def ask(self, plan: small_models.Plan) -> UpstreamResponse:
        try:
            return await self._send(plan)
        except (ConnectFailed, Reset):
            # The child may have died just now: once more, with a new one.
            await self._models.lost(self._model)
            return await self._send(plan)

    async def _send(self, plan: small_models.Plan) -> UpstreamResponse:
        endpoint = await self._models.endpoint(self._model)
        self._hold()
        request = msgspec.structs.replace(
            self._request,
            origin=Origin(scheme="http", host="localhost", port=80, unix_path=endpoint.unix_path, guarded=False),
            target=b"/v1/chat/completions",
            headers=(*JSON, (b"authorization", b"Bearer " + endpoint.api_key.encode())),
            body=plan.body,
        )
        try:
            return await self._inner.send(request)
        except BaseException:
            self.release()
            raise

    def _hold(self) -> None:
        if not self._busy:
            self._busy = True
            self._models.begin(self._model)

    def release(self) -> None:
        if self._busy:
            self._busy = False
            self._models.end(self._model)


class _Ready:
    """An answer that is already there."""

    def __init__(
        self, status: int, headers: tuple[tuple[bytes, bytes], ...], body: bytes, sent_at: float | None = None
    ) -> None:
        self.status = status
        self.headers = [*headers, (b"content-length", str(len(body)).encode())]
        self.reused = False
        self.sent_at = time.monotonic() if sent_at is None else sent_at
        self.idle_s = 0.0
        self._body = body

    async def chunk(self) -> bytes:
        body, self._body = self._body, b""
        return body

    async def pump(self, take: Take) -> None:
        await pump_chunks(self, take)

    async def read(self, limit_bytes: int) -> bytes:
        body = await self.chunk()
        if len(body) > limit_bytes:
            raise Malformed(f"the answer has {len(body)} bytes, more than {limit_bytes}")
        return body

    def abort(self) -> None:
        self._body = b""


class _Streamed:
    """The child's stream, turned into OpenAI's while it is read. Lives until its end or `abort`."""

    def __init__(
        self, asked: _Asked, response: UpstreamResponse, plan: small_models.Plan, answer: small_answers.Answer
    ) -> None:
        self.status = 200
        self.headers = list(EVENTS)
        self.reused = response.reused
        self.sent_at = response.sent_at
        self._asked = asked
        self._response: UpstreamResponse | None = response
        self._idle_s = response.idle_s
        self._answer = answer
        self._sse = small_answers.Sse(plan)

    @property
    def idle_s(self) -> float:
        """The child's: it is the one that may fall silent."""
        return self._idle_s if self._response is None else self._response.idle_s

    @idle_s.setter
    def idle_s(self, value: float) -> None:
        self._idle_s = value
        if self._response is not None:
            self._response.idle_s = value

    async def chunk(self) -> bytes:
        while self._response is not None:
            if out := await self._next(self._response):
                return out
        return b""

    async def pump(self, take: Take) -> None:
        await pump_chunks(self, take)

    async def _next(self, response: UpstreamResponse) -> bytes:
        """What comes of one read of the child; b"" where it gives nothing yet."""
        try:
            data = await response.chunk()
            choices = self._answer.feed(data) if data else await self._at_end()
        except BaseException:
            self.abort()
            raise
        out = self._sse.frames(self._answer, choices)
        if self._answer.error is not None:
            self.abort()
            return out + b"data: " + msgspec.json.encode(self._answer.error) + b"\n\n"
        return out if self._response is not None else out + self._sse.end(self._answer)

    async def _at_end(self) -> list[dict[str, object]]:
        """The child's stream has ended: a further try where one is needed, else the last choices."""
        if not self._answer.done:
            raise Truncated("the local model's process ended inside the answer")
        retry = self._answer.retry()
        if retry is not None and await self._ask_again(retry):
            return []
        self._response = None
        self._asked.release()
        return self._answer.close()

    async def _ask_again(self, retry: small_models.Plan) -> bool:
        """False where the child refuses, e.g. a schema that its runtime does not know."""
        response = await self._asked.ask(retry)
        response.idle_s = self._idle_s
        self._response = response
        if response.status == 200:
            return True
        response.abort()
        self._answer.give_up()
        return False

    async def read(self, limit_bytes: int) -> bytes:
        chunks, size = [], 0
        while data := await self.chunk():
            chunks.append(data)
            size += len(data)
            if size > limit_bytes:
                self.abort()
                raise Malformed(f"the answer is longer than {limit_bytes} bytes")
        return b"".join(chunks)

    def abort(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.abort()
        self._asked.release()


async def _whole(
    asked: _Asked, response: UpstreamResponse, plan: small_models.Plan, answer: small_answers.Answer
) -> UpstreamResponse:
    """Read the stream to its end and give it as one body; a caller that leaves meanwhile frees the slot."""
    stream = _Folded(asked, response, plan, answer)
    body = await stream.fold()
    status = 200 if answer.error is None else 500
    return _Ready(status, JSON, body, response.sent_at)


class _Folded(_Streamed):
    """A stream that is folded instead of framed."""

    def __init__(
        self, asked: _Asked, response: UpstreamResponse, plan: small_models.Plan, answer: small_answers.Answer
    ) -> None:
        super().__init__(asked, response, plan, answer)
        self._whole = small_answers.Whole(plan)

    async def fold(self) -> bytes:
        while self._response is not None:
            await self._take(self._response)
        error = self._answer.error
        return msgspec.json.encode(error) if error is not None else self._whole.body(self._answer)

    async def _take(self, response: UpstreamResponse) -> None:
        try:
            data = await response.chunk()
            self._whole.add(self._answer.feed(data) if data else await self._at_end())
        except BaseException:
            self.abort()
            raise
        if self._answer.error is not None:
            self.abort()


async def _refused(asked: _Asked, response: UpstreamResponse) -> UpstreamResponse:
    """The child's error answer, in OpenAI's words."""
    try:
        status, body = small_answers.refusal(response.status, await response.read(ERROR_LIMIT_BYTES))
    finally:
        response.abort()
        asked.release()
    return _Ready(status, JSON, body, response.sent_at)
