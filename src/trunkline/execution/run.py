"""One request, end to end: plan, attempts until one answers, the error if none does, and exactly one record.

In: the caller's bytes and a `Reply`. Out: nothing but the answer that was sent, and the record in the sink.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from trunkline.catalog.query import find, nearest
from trunkline.catalog.types import PARAMETERS, Model, Offer
from trunkline.errors import (
    InternalError,
    InvalidModel,
    ModelNotSupported,
    NoProviderAvailable,
    Overloaded,
    RequestError,
)
from trunkline.execution.attempt import Attempting
from trunkline.execution.blame import client_error
from trunkline.execution.exchange import Exchange
from trunkline.execution.failure import Failure
from trunkline.execution.final import final_error
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.execution.respond import JSON_HEADERS, Headers, Reply
from trunkline.ir.fault import Blame
from trunkline.protocols.openai_chat import errors
from trunkline.protocols.openai_chat.request import ChatRequest, read
from trunkline.providers.accounts import Absent
from trunkline.routing.plan import Plan, order

CLIENT_LEFT = 499
"""nginx's word for a caller that closed the connection; it only stands in records."""
MAX_MODEL_NAME = 256
MAX_MESSAGE = 1000


async def run(gateway: Gateway, exchange: Exchange, reply: Reply, body: bytes, log: Any) -> None:
    """Answer one Chat Completions request. Never raises but for a stop of the whole process; always ends in one record."""
    snapshot = gateway.snapshot
    exchange.request_bytes = len(body)
    exchange.price_version = snapshot.catalog.version
    task = asyncio.current_task()
    assert task is not None
    try:
        request, chosen = _prepare(gateway, snapshot, exchange, reply, body)
        await _attempts(gateway, snapshot, exchange, reply, request, chosen, log, task)
    except RequestError as error:
        exchange.candidates = exchange.candidates or tuple(error.candidates)
        await _tell(exchange, reply, error)
    except asyncio.CancelledError:
        _left(exchange, reply)
        task.uncancel()
        if not reply.left:
            # The gateway stops and has waited for as long as it may.
            await _break_off(exchange, reply, Overloaded("The gateway is being stopped.", retry_after_s=1.0))
    except Exception:
        log.exception("request failed inside the gateway", request_id=exchange.id)
        await _tell(
            exchange, reply, InternalError("The gateway itself failed. The request id says where to look in its log.")
        )
    finally:
        _end(gateway, exchange, reply)


async def refuse(gateway: Gateway, exchange: Exchange, reply: Reply, error: RequestError) -> None:
    """Answer a request whose body is not taken, and record it."""
    try:
        await _tell(exchange, reply, error)
    finally:
        _end(gateway, exchange, reply)


def abandon(gateway: Gateway, exchange: Exchange, reply: Reply) -> None:
    """Record a request whose caller left while sending it."""
    exchange.outcome, exchange.status = "client_left", CLIENT_LEFT
    _end(gateway, exchange, reply)


def _end(gateway: Gateway, exchange: Exchange, reply: Reply) -> None:
    exchange.answer_bytes = reply.bytes_sent
    gateway.sink.end(exchange.record(gateway.clock.now_s()))


def _prepare(
    gateway: Gateway, snapshot: Snapshot, exchange: Exchange, reply: Reply, body: bytes
) -> tuple[ChatRequest, Plan]:
    """What is asked, and which offers will be tried for it. Raises a `RequestError` where none can be."""
    request = read(body, PARAMETERS)
    facts = request.facts
    exchange.asked_model = exchange.model = facts.model[:MAX_MODEL_NAME]
    exchange.streamed = facts.stream
    exchange.session_id = exchange.session_id or facts.session_id
    today = gateway.clock.today()
    model, offers = offers_of(snapshot, facts.model, today)
    exchange.model = model.slug
    chosen = _plan(gateway, snapshot, request, model, offers, today)
    exchange.candidates = chosen.candidates
    if facts.stream:
        reply.keep_alive(snapshot.policy.keepalive_s)
    return request, chosen


def offers_of(snapshot: Snapshot, name: str, today: str) -> tuple[Model, list[Offer]]:
    """The model that a name means and the offers of it that can be called. Raises where there is none, with what would mend it."""
    if len(name) > MAX_MODEL_NAME:
        raise InvalidModel(
            f"The model's name has {len(name)} characters; none has more than {MAX_MODEL_NAME}.", param="model"
        )
    found = find(snapshot.catalog, name)
    if found is None:
        near = nearest(snapshot.catalog, name)
        hint = f"Did you mean {', '.join(near)}?" if near else "GET /api/v1/models lists what can be called."
        raise InvalidModel(f"There is no model `{name}`. {hint}", param="model")
    offers = [offer for offer in found.model.offers if found.provider in (None, offer.provider)]
    reachable = [offer for offer in snapshot.reachable(found.model) if offer in offers]
    if not reachable:
        raise ModelNotSupported(_how_to_reach(snapshot, found.model, offers, today), param="model")
    return found.model, reachable


def _how_to_reach(snapshot: Snapshot, model: Model, offers: list[Offer], today: str) -> str:
    mends = []
    for offer in offers:
        account = snapshot.accounts.get(offer.provider)
        if isinstance(account, Absent):
            mends.append(f"{account.provider.name}: {account.reason}")
    models = snapshot.catalog.models.items()
    callable_now = next((slug for slug, other in models if snapshot.callable_offers(other, today)), None)
    now = f" A model that can be called now is `{callable_now}`." if callable_now else " No model can be called now."
    return f"No provider of `{model.slug}` is set up here. {'; '.join(mends)}.{now}"


def _plan(
    gateway: Gateway, snapshot: Snapshot, request: ChatRequest, model: Model, offers: list[Offer], today: str
) -> Plan:
    now_s, figures = gateway.clock.now_s(), gateway.health.figures
    asked = request.facts.require_parameters
    require_parameters = snapshot.policy.require_parameters if asked is None else asked
    able = snapshot.eligible(request.facts, model, offers, require_parameters=require_parameters, today=today)
    return order(able, lambda offer: figures(offer, now_s))


async def _attempts(
    gateway: Gateway,
    snapshot: Snapshot,
    exchange: Exchange,
    reply: Reply,
    request: ChatRequest,
    chosen: Plan,
    log: Any,
    task: "asyncio.Task[Any]",
) -> None:
    failures: list[tuple[Offer, Failure]] = []
    for step in chosen.steps:
        attempt = Attempting(gateway, snapshot, exchange, reply, request, step)
        exchange.offer, exchange.provider, exchange.simulated = step.offer.id, step.offer.provider, step.offer.simulated
        reply.watch(_on_left(snapshot.policy.drain_cap_s, step.offer, task))
        try:
            failure = await attempt.run()
        finally:
            _account(gateway, exchange, attempt)
        if failure is None:
            _answered(exchange, reply)
            return
        if reply.left:
            _left(exchange, reply)
            return
        _heed(gateway, step.offer, failure, log)
        if attempt.committed:
            await _cut(exchange, reply, failure)
            return
        if failure.blame is Blame.CLIENT:
            raise client_error(failure.status, failure.fault)
        failures.append((step.offer, failure))
    raise final_error(failures, exchange.model)


def _on_left(drain_cap_s: float, offer: Offer, task: "asyncio.Task[Any]") -> Callable[[], None]:
    """What happens when the caller leaves: stop at once where that stops the provider's meter, else read on for the usage, within a cap."""

    def left() -> None:
        if offer.abortable:
            task.cancel()
        else:
            asyncio.get_running_loop().call_later(drain_cap_s, _cancel_if_running, task)

    return left


def _cancel_if_running(task: "asyncio.Task[Any]") -> None:
    if not task.done():
        task.cancel()


def _account(gateway: Gateway, exchange: Exchange, attempt: Attempting) -> None:
    """Put the attempt into the record and into its offer's health."""
    now_s = gateway.clock.now_s()
    told = attempt.account(now_s)
    exchange.attempts.append(told)
    exchange.usage, exchange.cost = told.usage, told.cost
    exchange.finish_reason, exchange.answer_id = attempt.seen.finish_reason, attempt.seen.answer_id
    gateway.health.observe(attempt.offer.id, attempt.sample(told, now_s))


def _heed(gateway: Gateway, offer: Offer, failure: Failure, log: Any) -> None:
    """What a failure means for the requests to come, and for the operator."""
    if failure.retry_after_s and failure.status in (429, 503):
        gateway.health.rest(offer.id, gateway.clock.now_s(), failure.retry_after_s, failure.status)
    if failure.blame is Blame.OPERATOR:
        gateway.health.demote(offer.id, gateway.clock.now_s())
        log.warning(
            "a provider refuses this gateway's account",
            offer=offer.id,
            status=failure.status,
            message=failure.shown_message,
        )


def _answered(exchange: Exchange, reply: Reply) -> None:
    exchange.outcome, exchange.status = "ok", 200
    if reply.left:
        _left(exchange, reply)


def _left(exchange: Exchange, reply: Reply) -> None:
    exchange.outcome, exchange.status = ("client_left", CLIENT_LEFT) if reply.left else ("interrupted", 503)


async def _cut(exchange: Exchange, reply: Reply, failure: Failure) -> None:
    """The answer broke after its beginning was sent: a typed error in the caller's protocol, then the end."""
    words = "" if failure.blame is Blame.OPERATOR else failure.shown_message
    error = NoProviderAvailable(f"The provider's answer broke off ({failure.cause}): {words or 'no words'}")
    exchange.outcome, exchange.status = "cut", 200
    exchange.error_type, exchange.error_message = error.type, error.message
    await _break_off(exchange, reply, error)


async def _break_off(exchange: Exchange, reply: Reply, error: RequestError) -> None:
    """The last word of an answer: an event where a stream has begun, else the answer."""
    if not reply.started:
        await reply.whole(error.status, JSON_HEADERS + retry_headers(error), errors.error_body(error, exchange.id))
        return
    await reply.still()
    await reply.write(errors.error_event(error, exchange.id))
    await reply.end()


async def _tell(exchange: Exchange, reply: Reply, error: RequestError) -> None:
    """Answer with an error; as the last event where a keep-alive has begun a stream."""
    exchange.outcome, exchange.status = "error", error.status
    exchange.error_type, exchange.error_message = error.type, error.message[:MAX_MESSAGE]
    await _break_off(exchange, reply, error)


def retry_headers(error: RequestError) -> Headers:
    """When to try again, or that it is of no use: the SDKs of OpenAI and Anthropic obey `x-should-retry`."""
    if error.retry_after_s is not None:
        whole_s = max(1, -int(-error.retry_after_s // 1))
        return [(b"retry-after", b"%d" % whole_s), (b"retry-after-ms", b"%d" % round(error.retry_after_s * 1000))]
    return [(b"x-should-retry", b"false")] if error.status >= 500 and error.status != 503 else []
