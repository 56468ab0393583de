"""`Idempotency-Key`: a request that comes again, because its answer was lost on the way, gets the same answer and is not paid for twice.

In: a request with a key. Out: a new answer, kept when it came whole, or the one that was kept: byte for byte, streams too. Errors are not kept.

https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header, https://docs.stripe.com/api/idempotent_requests
"""

import asyncio
import hashlib
import re
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from trunkline.errors import InProgress, InvalidParams, KeyReused, Overloaded, RequestError
from trunkline.execution.asked import Door
from trunkline.execution.exchange import Exchange
from trunkline.execution.gateway import Gateway
from trunkline.execution.respond import Caller, Headers, Reply
from trunkline.execution.run import CLIENT_LEFT, refuse, run
from trunkline.execution.shelf import Shelf
from trunkline.records.types import Kept

HEADER = "Idempotency-Key"
HOUR_MS = 3_600_000
_KEY = re.compile(rb"[ -~]{1,255}")
_PIECE_BYTES = 64 * 1024
_COST = b"x-trunkline-cost"
_RETRY_MIN_S, _RETRY_MAX_S = 1.0, 10.0


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """An answer as its caller got it, and what its replays say of it."""

    asked: bytes
    """Digest of the request that it answers."""
    request_id: str
    model: str
    asked_model: str
    streamed: bool
    finish_reason: str
    headers: Headers
    body: bytes


class Ledger(Protocol):
    """Which requests were answered or are being answered. In memory and the store here; for several processes see `shared_ledger`."""

    async def claim(self, name: str, asked: bytes) -> Answer | None:
        """What is kept under a name; None where nothing is, and then the name is held until its `release`.

        Raises InProgress where somebody else holds it, KeyReused where that or the answer is another request's."""
        ...

    async def keep(self, kept: Kept) -> None:
        """Find it from now on. On return it is on its way to where a restart finds it."""
        ...

    async def keep_here(self, kept: Kept) -> None:
        """The same, in memory only."""
        ...

    async def release(self, name: str) -> None: ...


class LocalLedger:
    """Implements `Ledger` for one process. Lives as long as that."""

    def __init__(self, shelf: Shelf, now_s: Callable[[], float]) -> None:
        self._shelf = shelf
        self._now_s = now_s
        self._held: dict[str, tuple[bytes, float]] = {}
        """Name -> what is being answered, and since when."""

    async def claim(self, name: str, asked: bytes) -> Answer | None:
        self._refuse_held(name, asked)
        answer = await self._stored(name)
        if answer is not None:
            refuse_other(answer.asked, asked)
            return answer
        # Somebody may have come while the store was read.
        self._refuse_held(name, asked)
        self._hold(name, asked)
        return None

    async def keep(self, kept: Kept) -> None:
        self._shelf.keep(kept)

    async def keep_here(self, kept: Kept) -> None:
        self._shelf.keep_here(kept)

    async def release(self, name: str) -> None:
        del self._held[name]

    async def _stored(self, name: str) -> Answer | None:
        return read_answer((await self._shelf.find((name,))).get(name))

    def _hold(self, name: str, asked: bytes) -> None:
        self._held[name] = asked, self._now_s()

    def _refuse_held(self, name: str, asked: bytes) -> None:
        held = self._held.get(name)
        if held is None:
            return
        refuse_other(held[0], asked)
        raise in_progress(self._now_s() - held[1])


class OnceOnly:
    """Answers requests that have a key. Lives as long as the process."""

    def __init__(self, ledger: Ledger, hours: float, max_bytes: int) -> None:
        self._ledger = ledger
        self.retain(hours, max_bytes)

    def retain(self, hours: float, max_bytes: int) -> None:
        """From now on keep answers of at most so many bytes for so many hours; 0: none."""
        self._hours = hours
        self._max_bytes = max_bytes

    @property
    def is_on(self) -> bool:
        """Without it keys are not looked at."""
        return self._hours > 0

    async def answer(
        self, gateway: Gateway, exchange: Exchange, reply: Reply, door: Door, body: bytes, key: bytes, log: Any
    ) -> None:
        """As `run` does; ends in one record, whatever becomes of it."""
        try:
            name = _name(exchange.key_id, key)
            asked = _digest(door, body)
            kept = await self._ledger.claim(name, asked)
        except RequestError as error:
            refuse(gateway, exchange, reply, door, error)
            return
        except asyncio.CancelledError:
            refuse(gateway, exchange, reply, door, Overloaded("The gateway is being stopped.", retry_after_s=1.0))
            return
        if kept is not None:
            await _replay(gateway, exchange, reply, kept)
            return
        recording = Recording(reply, exchange, self._max_bytes)
        reply.through(recording.before)
        exchange.drains = True

        async def answered() -> None:
            try:
                await self._keep(gateway, exchange, name, recording.answer(asked))
            finally:
                await self._ledger.release(name)
                recording.let_go()

        await run(gateway, exchange, reply, door, body, log, answered)

    async def _keep(self, gateway: Gateway, exchange: Exchange, name: str, answer: Answer | None) -> None:
        if answer is None:
            return
        now_ms = int(gateway.clock.unix_ms())
        expires_ms = now_ms + int(self._hours * HOUR_MS)
        kept = Kept(name, "answer", exchange.key_id, now_ms, expires_ms, msgspec.msgpack.encode(answer))
        if exchange.zero_retention:
            await self._ledger.keep_here(kept)
        else:
            await self._ledger.keep(kept)


class Recording:
    """Stands before the caller: takes a copy of the answer, and holds its end back until that is kept. Lives as long as its request.

    So whoever has the whole answer finds it again, and whoever has not, too: it goes on without the caller.
    """

    def __init__(self, reply: Reply, exchange: Exchange, max_bytes: int) -> None:
        self._reply = reply
        self._exchange = exchange
        self._max_bytes = max_bytes
        self._status = 0
        self._headers: Headers = []
        self._parts: list[bytes] = []
        self._bytes = 0
        self._streamed = False
        self._end: Callable[[], None] | None = None
        """What sends the held end."""
        self._caller: Caller

    def before(self, caller: Caller) -> "Recording":
        """Stand before a caller."""
        self._caller = caller
        return self

    def answer(self, asked: bytes) -> Answer | None:
        """What was recorded, if it is a whole answer, and no error or too large."""
        exchange = self._exchange
        is_whole = self._end is not None and self._status == 200 and self._bytes <= self._max_bytes
        if not is_whole or exchange.outcome not in ("ok", "client_left") or exchange.error_type:
            return None
        return Answer(
            asked,
            exchange.id,
            exchange.model,
            exchange.asked_model,
            self._streamed,
            exchange.finish_reason,
            self._headers,
            b"".join(self._parts),
        )

    def let_go(self) -> None:
        """Send the end."""
        if self._end is not None and not self._reply.left:
            self._end()

    def _take(self, data: bytes) -> None:
        before, self._bytes = self._bytes, self._bytes + len(data)
        if self._bytes <= self._max_bytes:
            self._parts.append(data)
        elif before <= self._max_bytes:
            self._parts = []
            self._exchange.notes.append(f"not kept for its {HEADER}: the answer has more than {self._max_bytes} bytes")

    # As a `Caller`.

    @property
    def common(self) -> bytes:
        return self._caller.common

    @common.setter
    def common(self, lines: bytes) -> None:
        self._caller.common = lines

    @property
    def on_left(self) -> Callable[[], None] | None:
        return self._caller.on_left

    @on_left.setter
    def on_left(self, told: Callable[[], None] | None) -> None:
        self._caller.on_left = told

    @property
    def is_full(self) -> bool:
        return self._caller.is_full

    def room(self) -> "asyncio.Future[None]":
        return self._caller.room()

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        self._status, self._headers = status, headers
        self._take(body)
        self._end = lambda: self._caller.whole(status, headers, body)

    def start(self, status: int, headers: Headers, first: bytes = b"") -> None:
        self._status, self._headers, self._streamed = status, headers, True
        self._take(first)
        if not self._reply.left:
            self._caller.start(status, headers, first)

    def send(self, data: bytes) -> bool:
        self._take(data)
        return False if self._reply.left else self._caller.send(data)

    def end(self) -> None:
        self._end = self._caller.end


async def _replay(gateway: Gateway, exchange: Exchange, reply: Reply, kept: Answer) -> None:
    """Give an answer again: nobody is called, and nothing is paid."""
    exchange.model, exchange.asked_model, exchange.streamed = kept.model, kept.asked_model, kept.streamed
    exchange.finish_reason = kept.finish_reason
    exchange.notes.append(f"replayed from {kept.request_id}")
    exchange.outcome, exchange.status = "interrupted", 503
    try:
        if gateway.sink.is_full:
            await gateway.sink.room()
        await _send_again(reply, kept)
        exchange.outcome, exchange.status = "ok", 200
    except asyncio.CancelledError:
        # The gateway stops, and has waited for this caller for as long as it may: what it has is not whole.
        pass
    finally:
        if reply.left:
            exchange.outcome, exchange.status = "client_left", CLIENT_LEFT
        reply.close()
        gateway.open -= 1
        exchange.answer_bytes = reply.bytes_sent
        if exchange.capture is not None:
            exchange.capture.hand_over()
        gateway.sink.end(exchange.record(gateway.clock.now_s()))


async def _send_again(reply: Reply, kept: Answer) -> None:
    headers = [(name, b"0" if name == _COST else value) for name, value in kept.headers]
    headers += [(b"idempotent-replayed", b"true"), (b"x-trunkline-original-request-id", kept.request_id.encode())]
    if not kept.streamed:
        reply.whole(200, headers, kept.body)
        return
    reply.start(200, headers, kept.body[:_PIECE_BYTES])
    for start in range(_PIECE_BYTES, len(kept.body), _PIECE_BYTES):
        if reply.is_full:
            await reply.room()
        reply.write(kept.body[start : start + _PIECE_BYTES])
    reply.end()


def _name(key_id: str, key: bytes) -> str:
    """Where the answer is kept. A key's text may tell something of its caller, and names are not encrypted. Raises InvalidParams."""
    if _KEY.fullmatch(key) is None:
        raise InvalidParams(f"`{HEADER}` must have 1 to 255 characters of printable ASCII.", param=HEADER)
    # Responses are kept as `KEY_ID/ID`, without a second slash.
    return f"answer/{key_id}/{hashlib.sha256(key).hexdigest()}"


def _digest(door: Door, body: bytes) -> bytes:
    """Of all that makes a request what it is; headers do not."""
    told = (door.protocol, door.path_model, door.path_stream, door.array_framing)
    return hashlib.sha256(msgspec.json.encode(told) + body).digest()


def read_answer(kept: Kept | None) -> Answer | None:
    """A row that cannot be read is as none: its request is answered anew."""
    try:
        return None if kept is None else _answers.decode(kept.data)
    except msgspec.DecodeError:
        return None


def in_progress(age_s: float) -> InProgress:
    """Of a request that began so long ago. Who knows how long models take: as long again as it has taken so far."""
    return InProgress(
        f"A request with this `{HEADER}` is still being answered. Send it again later: it will get that answer.",
        param=HEADER,
        retry_after_s=min(max(age_s, _RETRY_MIN_S), _RETRY_MAX_S),
    )


def refuse_other(known: bytes, asked: bytes) -> None:
    """Raises KeyReused where two digests differ."""
    if known != asked:
        raise KeyReused(
            f"This `{HEADER}` came with another request before: the same key must come with the same body. Make a new key for a new request.",
            param=HEADER,
        )


_answers = msgspec.msgpack.Decoder(Answer)
