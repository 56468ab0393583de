"""One upstream call: send, read, and hand the answer to the caller. In: a plan's step. Out: None when the caller was answered, else the `Failure`.

Same protocol on both sides, so bytes pass through (design.md 3.7); streams do so in `passthrough`.
"""

import asyncio
import contextlib
from typing import Literal

import msgspec

from trunkline.catalog.types import Offer
from trunkline.errors import ConfigError, InvalidParams, TransportError
from trunkline.execution.asked import Asked
from trunkline.execution.begun import Begun
from trunkline.execution.bill import NO_PRICE, Bill
from trunkline.execution.blame import blame
from trunkline.execution.decide import TOLD, Decision
from trunkline.execution.exchange import Exchange
from trunkline.execution.failure import LIMITED, Failure, of_provider, told_inside
from trunkline.execution.framed import Framed
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.execution.hedge import Lane, Race
from trunkline.execution.keys import NO_KEY
from trunkline.execution.rescue import Continuation, continuation_of
from trunkline.execution.respond import JSON_HEADERS, Headers, Reply, header_text
from trunkline.execution.seen import NOTHING, Observed
from trunkline.execution.streaming import Terms
from trunkline.execution.transport.types import Transport, UpstreamRequest, UpstreamResponse
from trunkline.execution.upstream import header, passed, request_id, retry_after_s, upstream_request
from trunkline.execution.ways import Way, way
from trunkline.ir.fault import Blame, Fault
from trunkline.ir.loss import Loss
from trunkline.ir.usage import Usage
from trunkline.pricing.types import FREE
from trunkline.protocols.codec import CHAT
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.protocols.tool_arguments import NONE as NO_CALLS
from trunkline.providers.accounts import endpoint
from trunkline.records.types import Attempt, Intent
from trunkline.routing.health import Sample
from trunkline.routing.types import Step

Kind = Literal["plain", "hedge", "rescue", "probe"]
MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 1024 * 1024
MAX_TOLD = 1024
"""Characters of losses in a header."""
_SAYS_NOTHING = frozenset({"client_left", "interrupted", "internal", "configuration", "refused", "client_slow"})
"""Outcomes that say nothing of the provider."""


class Try(msgspec.Struct, frozen=True):
    """A step of the plan that is to be tried."""

    step: Step
    forgetting: bool = False
    """Without the reasoning of earlier turns, which its account could not open."""
    continuation: Continuation | None = None
    """What the caller has of an answer that broke off: to be gone on with."""
    wanted_key: int | None = None
    """Which of the provider's keys holds the conversation's cache."""
    moved_from: str = ""
    """The offer whose account made the state that the conversation brings."""
    tried_keys: tuple[int, ...] = ()
    """With which it was tried already."""
    reserved_pico_usd: int = 0
    """What it may cost, where its key has a budget."""


class Attempting:
    """One attempt in flight. Lives from its sending to its `account`."""

    __slots__ = (
        "_asked", "_begun", "_exchange", "_gateway", "_include_cost", "_lane", "_race", "_reply", "_response", "_snapshot", "_started_at", "_started_ms",
        "_was_cancelled", "_way", "bill", "committed", "decision", "ended_at", "failure", "finished", "key", "kind", "losses", "offer", "one", "seen", "token",
    )  # fmt: skip

    def __init__(
        self,
        gateway: Gateway,
        snapshot: Snapshot,
        exchange: Exchange,
        reply: Reply,
        asked: Asked,
        one: Try,
        race: Race | None = None,
    ) -> None:
        """`race`: another attempt may run beside it, and the first with something useful answers."""
        self._gateway = gateway
        self._snapshot = snapshot
        self._exchange = exchange
        self._race = race
        self._lane = None if race is None else Lane(reply)
        self._reply = self._lane or reply
        self._asked = asked
        self.one = one
        self.offer: Offer = one.step.offer
        """The offer that is tried."""
        self.kind: Kind = "plain" if one.continuation is None else "rescue"
        self.key = NO_KEY
        """Which of the provider's keys it went with."""
        include = asked.facts.include_cost
        self._include_cost = snapshot.policy.include_cost if include is None else include
        self._way: Way | None = None
        self.losses: tuple[Loss, ...] = ()
        """What of the caller's request it goes without."""
        self._response: UpstreamResponse | None = None
        self._begun: Begun | None = None
        self._was_cancelled = False
        self._started_at = self.ended_at = gateway.clock.now_s()
        self._started_ms = gateway.clock.unix_ms()
        self.bill: Bill | None = None
        self.seen: Observed = NOTHING
        """What came of the answer."""
        self.committed = one.continuation is not None
        """The caller has something useful, of this attempt or of those that it goes on from."""
        self.failure: Failure | None = None
        self.decision: Decision | None = None
        """What was done about it."""
        self.finished = False
        """The answer came to its own end."""
        self.token = 0
        """Of `Health.begin`."""

    def take_over(self, begun: Begun) -> None:
        """It was sent already."""
        self._begun, self._response = begun, begun.response
        self.key, self.token = begun.key, begun.token
        self._started_at, self._started_ms = begun.started_at, begun.started_ms

    async def run(self) -> Failure | None:
        """Make the call and answer the caller with it. A failure before `committed` leaves the caller untouched."""
        gateway, asked, one, offer = self._gateway, self._asked, self.one, self.offer
        account = self._snapshot.account(offer.provider)
        try:
            chosen = self._way = way(
                asked,
                one.step,
                account,
                self._snapshot,
                self._exchange.id,
                int(self._started_ms // 1000),
                forgetting=one.forgetting,
                continuation=one.continuation,
            )
            bill = self.bill = Bill(
                self._snapshot, offer, asked.facts, chosen.read_usage, self._started_ms, self._exchange.notes
            )
            sent = chosen.sent()
            self.losses = (*sent.losses, _moved(one.moved_from)) if one.moved_from else sent.losses
            stream = asked.facts.stream
            key = self.key
            if self._begun is None:
                key = self.key = gateway.keys.take(
                    account, one.wanted_key, offer=offer.id, now_s=self._started_at, tried=one.tried_keys
                )
            where = endpoint(account, offer, chosen.protocol, key.secret, stream=stream)
            request = await upstream_request(gateway, account, where, sent, offer.deadlines, stream=stream)
            if self._begun is None:
                self._intend()
            capture = self._exchange.capture
            if capture is not None:
                capture.sent(offer.id, self._started_ms, request, account.keys)
            response = self._response = await self._responded(gateway.transport(account), request)
            if stream and response.status == 200 and where.surface.framing == "eventstream":
                response = self._response = Framed(response)
            if capture is not None:
                response = self._response = capture.answered(offer.id, self._started_ms, response)
            if response.status != 200:
                failure: Failure | None = await self._refused(response, chosen)
            elif stream:
                failure = await self._stream(response, chosen, bill)
            else:
                failure = await self._whole(response, chosen, bill)
            self.failure = failure and failure.without(account.keys)
            self.finished = failure is None
        except TransportError as error:
            self.failure = self._broken(error)
        except ConfigError as error:
            self.failure = Failure("configuration", Blame.OPERATOR, fault=Fault(message=str(error)))
        except InvalidParams as error:
            # What this offer's protocol has no place for; another offer's may have one.
            self.failure = Failure(
                "refused", Blame.CLIENT, error.status, Fault(message=error.message, param=error.param)
            )
        except asyncio.CancelledError:
            self._was_cancelled = True
            raise
        except Exception:
            self.failure = Failure("internal", Blame.OPERATOR)
            raise
        finally:
            if self._response is not None:
                self._response.abort()
            self.ended_at = gateway.clock.now_s()
        return self.failure

    async def _responded(self, transport: Transport, request: UpstreamRequest) -> UpstreamResponse:
        """The answer, once its head has come."""
        if self._begun is None:
            return await transport.send(request)
        response = self._begun.response
        error = await response.head()
        if error is None:
            return response
        self._response = None
        if not response.stale:
            raise error
        # The peer closed the kept connection while the request was on its way: as in `HttpTransport.send`.
        return await transport.send(request)

    @property
    def is_begun(self) -> bool:
        """Its first step was taken; a task that is cancelled before that takes none."""
        return self._way is not None or self.failure is not None

    def continuation(self) -> Continuation | None:
        """What the caller has of the answer, for another offer to go on from; None where none can."""
        return None if self._way is None else continuation_of(self._way)

    def lose(self) -> None:
        """The attempt beside it answers."""
        assert self._lane is not None, "only who races can lose"
        self._lane.lost = True

    def account(self) -> Attempt:
        """The attempt as the record keeps it. Prices what was used, estimated where the provider told nothing."""
        bill, ended_at = self.bill, self.ended_at
        if bill is not None:
            bill.settle(self.seen)
        offer, failure, seen, response = self.offer, self.failure, self.seen, self._response
        sent_at = self._started_at if response is None else response.sent_at
        return Attempt(
            offer.provider,
            offer.id,
            offer.upstream_model,
            self._started_ms,
            self._started_ms + (ended_at - self._started_at) * 1000,
            self._outcome(),
            0 if response is None else response.status,
            "" if failure is None else failure.shown_message,
            None if seen.first_at is None else (seen.first_at - sent_at) * 1000,
            None if seen.last_at is None else (seen.last_at - sent_at) * 1000,
            Usage() if bill is None or bill.usage is None else bill.usage,
            FREE if bill is None else bill.cost,
            msgspec.Raw(seen.usage or b"null"),
            "" if response is None else request_id(response.headers),
            False if response is None else response.reused,
            CHAT if self._way is None else self._way.protocol,
            self.kind,
            self.key.name,
            "" if self.decision is None else self.decision.value,
            self._after_leaving() if self._reply.left else "",
            *(seen.tool_calls if self.finished else NO_CALLS),
            failure.status if failure is not None and failure.cause == "in_stream_error" else 0,
        )

    def sample(self, attempt: Attempt) -> Sample:
        """What the attempt says of its offer's health."""
        first_ms, last_ms, speed = attempt.first_token_ms, attempt.last_token_ms, None
        if attempt.outcome == "lost" and first_ms is None and self.kind != "hedge" and self._asked.facts.stream:
            # It takes at least as long as it was silent; else an offer that always loses would never be measured.
            first_ms = attempt.ended_ms - attempt.started_ms
        if first_ms is not None and last_ms is not None and last_ms > first_ms:
            speed = attempt.usage.total_output_tokens / (last_ms - first_ms) * 1000
        return Sample(self.ended_at, self._up(attempt), first_ms, speed, self._is_limited(), self._started_at)

    def _is_limited(self) -> bool:
        """Whether the offer is at its limit. Of several keys each has its own, and rests by itself: see `keys`."""
        failure = self.failure
        if failure is None or self.key.name:
            return False
        return failure.status == LIMITED and failure.blame is Blame.PROVIDER

    def _intend(self) -> None:
        """Note the attempt durably before or with its first byte (design.md section 4)."""
        exchange, offer = self._exchange, self.offer
        self._gateway.sink.intend(
            Intent(
                exchange.id,
                self._started_ms,
                exchange.protocol,
                exchange.model,
                offer.id,
                offer.provider,
                exchange.key_id,
                0 if exchange.paying is None else exchange.paying.granted,
            )
        )

    async def _refused(self, response: UpstreamResponse, chosen: Way) -> Failure:
        body = b""
        with contextlib.suppress(TransportError):
            body = await response.read(MAX_ERROR_BYTES)
        fault = chosen.read_fault(body)
        wait_s = retry_after_s(response.headers, self._started_ms) or getattr(fault, "retry_after_s", None)
        return Failure("status", blame(response.status, fault), response.status, fault, wait_s)

    async def _whole(self, response: UpstreamResponse, chosen: Way, bill: Bill) -> Failure | None:
        """An answer that is not streamed."""
        body = await response.read(MAX_ANSWER_BYTES)
        try:
            seen = chosen.read(body)
        except UNREADABLE as error:
            return of_provider("malformed", f"the answer is not one of {chosen.protocol}: {error}")
        if isinstance(seen, Failure):
            return seen
        self.seen = seen
        bill.settle(seen)
        earlier = self._exchange.attempts
        cost, _ = bill.written(earlier)
        headers = JSON_HEADERS + self._head(response)
        if cost != NO_PRICE:
            headers.append((b"x-trunkline-cost", cost))
        if self._race is None or self._may_commit(self._race):
            self.committed = True
            self._reply.whole(200, headers, chosen.written(bill, earlier, include_cost=self._include_cost))
        return None

    async def _stream(self, response: UpstreamResponse, chosen: Way, bill: Bill) -> Failure | None:
        kind = header(response.headers, b"content-type").lower()
        if not kind.startswith("text/event-stream"):
            return await self._not_a_stream(response, kind, chosen)
        deadlines, now_s = self.offer.deadlines, self._gateway.clock.now_s
        terms = Terms(
            head=chosen.stream_headers + self._head(response),
            first_event_s=deadlines.first_event_s,
            idle_s=deadlines.idle_s,
            include_cost=self._include_cost,
            earlier=self._exchange.attempts,
        )
        streaming = chosen.streaming(response, self._reply, bill, terms, now_s, self._commit)
        self.seen = streaming.observed
        return await streaming.run()

    def _commit(self, at_s: float) -> bool:
        """The stream has its first useful event, and passes it on as soon as this returns. Whether it reaches the caller."""
        self._gateway.health.hear(self.offer.id, self.token)
        if self._race is not None and not self._may_commit(self._race):
            return False
        self.committed = True
        if self._exchange.first_token_at is None:
            self._exchange.first_token_at = at_s
        return True

    def _may_commit(self, race: Race) -> bool:
        """Asked once, at once before the first byte goes to the caller."""
        assert self._lane is not None, "who races has a lane"
        self._lane.won = race.may_commit(self)
        return self._lane.won

    async def _not_a_stream(self, response: UpstreamResponse, kind: str, chosen: Way) -> Failure:
        body = await response.read(MAX_ERROR_BYTES)
        fault = chosen.read_fault(body) if "json" in kind else Fault()
        if fault.message:
            return told_inside(fault)
        return of_provider("malformed", f"a stream was asked for, {kind[:100] or 'no content type'} came")

    # --- telling

    def _head(self, response: UpstreamResponse) -> Headers:
        headers = [*passed(response.headers), (b"x-trunkline-provider", self.offer.provider.encode())]
        if self.losses:
            headers += _told_losses(self.losses)
        return headers

    def _broken(self, error: TransportError) -> Failure:
        """Silence before the first useful event of a stream is one cause, whatever had come by then."""
        if error.is_held:
            return Failure("client_slow", Blame.CLIENT, fault=Fault(message="the answer was not taken in time"))
        early = self._asked.facts.stream and not self.seen.useful
        cause = "timeout_first_event" if early and error.kind == "timeout_idle" else error.kind
        return of_provider(cause, str(error), 0)

    def _outcome(self) -> str:
        if self.failure is not None:
            return self.failure.cause
        if self._lane is not None and self._lane.lost:
            return "lost"
        if self.finished:
            return "ok"
        return "client_left" if self._reply.left else "interrupted"

    def _after_leaving(self) -> Literal["cancelled", "drained"]:
        """What became of it when nobody waited for it any more."""
        return "cancelled" if self._was_cancelled else "drained"

    def _up(self, attempt: Attempt) -> bool | None:
        if attempt.outcome in _SAYS_NOTHING:
            return None
        if attempt.outcome == "lost":
            # It was silent for too long for this caller; whether it would have answered is known where it was read on.
            return True if self.finished else None
        failure = self.failure
        if failure is not None and attempt.outcome in TOLD:
            return False if failure.blame is Blame.PROVIDER and failure.status >= 500 else None
        return attempt.outcome == "ok"


def _moved(offer: str) -> Loss:
    return Loss("earlier reasoning", "moved", f"{offer} made it, and may be the only one that can open it")


def _told_losses(losses: tuple[Loss, ...]) -> Headers:
    """What the caller is told of what did not reach the provider as it was."""
    dropped = ", ".join(loss.field for loss in losses if loss.action == "dropped")
    told = "; ".join(f"{loss.field} {loss.action}" for loss in losses)
    headers: Headers = [(b"x-trunkline-losses", header_text(told, MAX_TOLD))]
    return [(b"x-trunkline-dropped", header_text(dropped, MAX_TOLD)), *headers] if dropped else headers
