"""One request, end to end: plan, attempts until one answers, the error if none does, and exactly one record.

In: the caller's bytes and a `Reply`. Out: nothing but the answer that was sent, and the record in the sink.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from trunkline.errors import InternalError, NoProviderAvailable, Overloaded, RequestError
from trunkline.execution.accounting import Paying
from trunkline.execution.affinity import recall
from trunkline.execution.asked import Asked, Door, asked_of, read
from trunkline.execution.begun import Begun, give_up
from trunkline.execution.codecs import codec_of
from trunkline.execution.conversations import Remembering
from trunkline.execution.exchange import Exchange
from trunkline.execution.failure import Failure
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.execution.planning import MAX_MODEL_NAME, measure, plan
from trunkline.execution.respond import JSON_HEADERS, STREAM_HEADERS, Headers, Reply
from trunkline.execution.trying import Trying
from trunkline.ir.fault import Blame
from trunkline.routing.types import Plan

CLIENT_LEFT = 499
"""nginx's word for a caller that closed the connection; it only stands in records."""
MAX_MESSAGE = 1000


async def run(
    gateway: Gateway,
    exchange: Exchange,
    reply: Reply,
    door: Door,
    body: bytes,
    log: Any,
    answered: Callable[[], Awaitable[None]] | None = None,
    begun: Begun | None = None,
) -> None:
    """Answer one request for an answer of a model. Never raises but for a stop of the whole process; always ends in one record.

    `answered` is called once the caller's answer has ended, which may be long before the record: see `Trying.rest`. `begun` is an attempt that was sent
    already (`plain`)."""
    trying: Trying | None = None
    try:
        try:
            trying = await _answer(gateway, exchange, reply, door, body, log, begun)
        finally:
            if answered is not None:
                await answered()
        if trying is not None and trying.has_rest:
            exchange.answered_at = gateway.clock.now_s()
            await _rest(trying)
    finally:
        end(gateway, exchange, reply)


async def _answer(
    gateway: Gateway, exchange: Exchange, reply: Reply, door: Door, body: bytes, log: Any, begun: Begun | None
) -> Trying | None:
    """Gives who tried, where there was something to try."""
    snapshot = exchange.snapshot or gateway.snapshot
    exchange.request_bytes = len(body)
    task = asyncio.current_task()
    assert task is not None
    telling = Telling(exchange, reply, door)
    trying: Trying | None = None
    try:
        if begun is None and gateway.sink.is_full:
            await gateway.sink.room()
        asked = asked_of(gateway, exchange, door, body) or await read(gateway, exchange, door, body)
        telling.asked = asked
        if begun is None and gateway.tokenizer is not None:
            await measure(gateway, snapshot, asked)
        if begun is None and gateway.holds.is_shared:
            await recall(gateway, snapshot, asked, exchange)
        chosen = _prepare(gateway, snapshot, exchange, reply, asked) if begun is None else begun.chosen
        if exchange.terms is not None and gateway.accounting is not None:
            if exchange.paying is None:
                exchange.paying = Paying(gateway.accounting, exchange.terms, exchange)
                await exchange.paying.claim(snapshot, asked, chosen)
            else:
                exchange.paying.go_on(snapshot, asked)
        trying = Trying(gateway, snapshot, exchange, reply, asked, chosen, log, task, begun)
        cut = await trying.run()
        if reply.left:
            _left(exchange, reply)
        elif cut is not None:
            telling.cut(cut)
        else:
            _learn(trying, exchange, log)
    except RequestError as error:
        exchange.candidates = exchange.candidates or tuple(error.candidates)
        telling.error(error)
    except asyncio.CancelledError:
        _left(exchange, reply)
        task.uncancel()
        if not reply.left:
            # The gateway stops and has waited for as long as it may.
            if trying is not None:
                trying.stop()
            telling.break_off(Overloaded("The gateway is being stopped.", retry_after_s=1.0))
    except Exception:
        log.exception("request failed inside the gateway", request_id=exchange.id)
        telling.error(InternalError("The gateway itself failed. The request id says where to look in its log."))
    if begun is not None and trying is None:
        give_up(gateway, exchange, begun)
    return trying


def _learn(trying: Trying, exchange: Exchange, log: Any) -> None:
    """The caller has its answer: a fault in here is not its business."""
    try:
        trying.learn_shape()
    except Exception:
        log.exception("nothing could be learned of a request", request_id=exchange.id)


async def _rest(trying: Trying) -> None:
    """The record waits for what is still read; a stop of the gateway ends it."""
    task = asyncio.current_task()
    assert task is not None
    try:
        await trying.rest()
    except asyncio.CancelledError:
        task.uncancel()


def begin(gateway: Gateway, exchange: Exchange) -> None:
    """From here on the request ends in one record: by `run`, `refuse` or `abandon`."""
    gateway.open += 1
    exchange.price_version = gateway.snapshot.catalog.version


def refuse(gateway: Gateway, exchange: Exchange, reply: Reply, door: Door, error: RequestError) -> None:
    """Answer a request whose body is not taken, and record it."""
    try:
        Telling(exchange, reply, door).error(error)
    finally:
        end(gateway, exchange, reply)


def abandon(gateway: Gateway, exchange: Exchange, reply: Reply) -> None:
    """Record a request whose caller left while sending it."""
    exchange.outcome, exchange.status = "client_left", CLIENT_LEFT
    end(gateway, exchange, reply)


def end(gateway: Gateway, exchange: Exchange, reply: Reply) -> None:
    """Make the record."""
    reply.close()
    gateway.open -= 1
    exchange.answer_bytes = reply.bytes_sent
    if exchange.capture is not None:
        exchange.capture.hand_over()
    ended_at = gateway.clock.now_s() if exchange.answered_at is None else exchange.answered_at
    record = exchange.record(ended_at)
    if gateway.accounting is not None:
        # Before the record can be in the store: what is summed up there is not told again.
        if exchange.paying is not None:
            exchange.paying.settle(record)
        elif record.cost_pico_usd:
            gateway.accounting.charge(record)
    gateway.sink.end(record)


def _prepare(gateway: Gateway, snapshot: Snapshot, exchange: Exchange, reply: Reply, asked: Asked) -> Plan:
    """Which offers will be tried. Raises a `RequestError` where none can be."""
    facts = asked.facts
    exchange.asked_model = exchange.model = facts.model[:MAX_MODEL_NAME]
    exchange.streamed = facts.stream
    exchange.session_id = exchange.session_id or facts.session_id
    chosen = plan(gateway, snapshot, facts, asked, exchange)
    exchange.model = chosen.model.slug
    exchange.candidates = chosen.candidates
    if asked.is_stored:
        asked.remembering = Remembering(
            gateway.conversations,
            exchange.key_id,
            asked.fields,
            asked.previous,
            asked.recalled,
            gateway.clock.unix_ms,
            streamed=facts.stream,
        )
        reply.see_writes(asked.remembering.see)
    if facts.stream:
        reply.keep_alive(
            snapshot.policy.keepalive_s, asked.keepalive, JSON_HEADERS if asked.door.array_framing else STREAM_HEADERS
        )
    return chosen


def _left(exchange: Exchange, reply: Reply) -> None:
    exchange.outcome, exchange.status = ("client_left", CLIENT_LEFT) if reply.left else ("interrupted", 503)


class Telling:
    """Tells the caller, in its own protocol, why there is no answer or no more of it, and notes it. Lives as long as its request."""

    def __init__(self, exchange: Exchange, reply: Reply, door: Door) -> None:
        self._exchange = exchange
        self._reply = reply
        self._door = door
        self.asked: Asked | None = None
        """Once it could be read."""

    def error(self, error: RequestError) -> None:
        """Instead of an answer; as the last event where a keep-alive has begun a stream."""
        exchange = self._exchange
        exchange.outcome, exchange.status = "error", error.status
        exchange.error_type, exchange.error_message = error.type, error.message[:MAX_MESSAGE]
        self.break_off(error)

    def cut(self, failure: Failure) -> None:
        """The answer broke after its beginning was sent: a typed error in the caller's protocol, then the end."""
        exchange = self._exchange
        words = "" if failure.blame is Blame.OPERATOR else failure.shown_message
        whose = "The answer" if failure.cause == "client_slow" else "The provider's answer"
        error = NoProviderAvailable(f"{whose} broke off ({failure.cause}): {words or 'no words'}")
        exchange.outcome, exchange.status = "cut", 200
        exchange.error_type, exchange.error_message = error.type, error.message
        self.break_off(error)

    def break_off(self, error: RequestError) -> None:
        """The last word of an answer: an event where a stream has begun, else the answer."""
        reply = self._reply
        if not reply.started:
            body = codec_of(self._door.protocol).error_body(error, self._exchange.id)
            reply.whole(error.status, JSON_HEADERS + retry_headers(error), body)
            return
        assert self.asked is not None, "nothing is begun before the request was read"
        reply.write(self.asked.error_in_stream(error))
        reply.end()


def retry_headers(error: RequestError) -> Headers:
    """When to try again, or that it is of no use: the SDKs of OpenAI and Anthropic obey `x-should-retry`."""
    if error.retry_after_s is not None:
        whole_s = max(1, -int(-error.retry_after_s // 1))
        return [(b"retry-after", b"%d" % whole_s), (b"retry-after-ms", b"%d" % round(error.retry_after_s * 1000))]
    return [(b"x-should-retry", b"false")] if error.status >= 500 and error.is_final else []
