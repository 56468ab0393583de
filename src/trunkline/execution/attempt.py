"""One upstream call: send, read, and hand the answer to the caller. In: a plan's step. Out: None when the caller was answered, else the `Failure`.

Same protocol on both sides, so bytes pass through (design.md 3.7); streams do so in `passthrough`.
"""

import contextlib

import msgspec

from trunkline.catalog.types import Offer
from trunkline.errors import ConfigError, InvalidParams, TransportError
from trunkline.execution.asked import Asked
from trunkline.execution.bill import NO_PRICE, Bill
from trunkline.execution.blame import blame
from trunkline.execution.exchange import Exchange
from trunkline.execution.failure import Failure, of_provider, told_inside
from trunkline.execution.framed import Framed
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.execution.respond import JSON_HEADERS, Headers, Reply
from trunkline.execution.seen import NOTHING, Observed
from trunkline.execution.streaming import Terms
from trunkline.execution.transport.types import UpstreamResponse
from trunkline.execution.upstream import header, passed, request_id, retry_after_s, upstream_request
from trunkline.execution.ways import Way, way
from trunkline.ir.fault import Blame, Fault
from trunkline.ir.loss import Loss
from trunkline.ir.usage import Usage
from trunkline.pricing.types import FREE
from trunkline.protocols.codec import CHAT
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.providers.accounts import endpoint
from trunkline.records.types import Attempt, Intent
from trunkline.routing.health import Sample
from trunkline.routing.types import Step

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 1024 * 1024
MAX_TOLD = 1024
"""Characters of losses in a header."""


class Try(msgspec.Struct, frozen=True):
    """A step of the plan that is to be tried; `forgetting` without the reasoning of earlier turns, which its account could not open."""

    step: Step
    forgetting: bool = False


class Attempting:
    """One attempt in flight. Lives from its sending to its `account`."""

    __slots__ = (
        "_asked", "_exchange", "_forgetting", "_gateway", "_include_cost", "_losses", "_reply", "_response", "_snapshot", "_started_at", "_started_ms",
        "_step", "_way", "bill", "committed", "failure", "finished", "offer", "seen",
    )  # fmt: skip

    def __init__(
        self, gateway: Gateway, snapshot: Snapshot, exchange: Exchange, reply: Reply, asked: Asked, one: Try
    ) -> None:
        self._gateway = gateway
        self._snapshot = snapshot
        self._exchange = exchange
        self._reply = reply
        self._asked = asked
        self._step = one.step
        self._forgetting = one.forgetting
        self.offer: Offer = one.step.offer
        """The offer that is tried."""
        include = asked.facts.include_cost
        self._include_cost = snapshot.policy.include_cost if include is None else include
        self._way: Way | None = None
        self._losses: tuple[Loss, ...] = ()
        self._response: UpstreamResponse | None = None
        self._started_at = gateway.clock.now_s()
        self._started_ms = gateway.clock.unix_ms()
        self.bill: Bill | None = None
        self.seen: Observed = NOTHING
        """What came of the answer."""
        self.committed = False
        """Something useful of this attempt went to the caller: no other offer can take over."""
        self.failure: Failure | None = None
        self.finished = False
        """The answer came to its own end."""

    async def run(self) -> Failure | None:
        """Make the call and answer the caller with it. A failure before `committed` leaves the caller untouched."""
        gateway, asked, account = self._gateway, self._asked, self._snapshot.account(self.offer.provider)
        try:
            chosen = self._way = way(
                asked,
                self._step,
                account,
                self._snapshot,
                self._exchange.id,
                int(self._started_ms // 1000),
                forgetting=self._forgetting,
            )
            bill = self.bill = Bill(
                self._snapshot, self.offer, asked.facts, chosen.read_usage, self._started_ms, self._exchange.notes
            )
            sent = chosen.sent()
            self._losses = sent.losses
            self._exchange.losses = list(sent.losses)
            stream = asked.facts.stream
            where = endpoint(account, self.offer, chosen.protocol, gateway.next_key(account), stream=stream)
            request = await upstream_request(gateway, account, where, sent, self.offer.deadlines, stream=stream)
            self._intend()
            response = self._response = await gateway.transport(account).send(request)
            if stream and response.status == 200 and where.surface.framing == "eventstream":
                response = self._response = Framed(response)
            if response.status != 200:
                failure: Failure | None = await self._refused(response, chosen)
            elif stream:
                failure = await self._stream(response, chosen, bill)
            else:
                failure = await self._whole(response, chosen, bill)
            self.failure = failure and failure.without(account.keys)
            self.finished = failure is None
        except TransportError as error:
            self.failure = of_provider(self._cause(error), str(error), 0)
        except ConfigError as error:
            self.failure = Failure("configuration", Blame.OPERATOR, fault=Fault(message=str(error)))
        except InvalidParams as error:
            # What this offer's protocol has no place for; another offer's may have one.
            self.failure = Failure(
                "refused", Blame.CLIENT, error.status, Fault(message=error.message, param=error.param)
            )
        except Exception:
            self.failure = Failure("internal", Blame.OPERATOR)
            raise
        finally:
            if self._response is not None:
                self._response.abort()
        return self.failure

    def account(self, ended_at: float) -> Attempt:
        """The attempt as the record keeps it. Prices what was used, estimated where the provider told nothing."""
        bill = self.bill
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
        )

    def sample(self, attempt: Attempt, at_s: float) -> Sample:
        """What the attempt says of its offer's health."""
        first_ms, last_ms, speed = attempt.first_token_ms, attempt.last_token_ms, None
        if first_ms is not None and last_ms is not None and last_ms > first_ms:
            speed = attempt.usage.total_output_tokens / (last_ms - first_ms) * 1000
        return Sample(at_s, self._up(attempt), first_ms, speed)

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

    def _commit(self, at_s: float) -> None:
        self.committed = True
        self._exchange.first_token_at = at_s

    async def _not_a_stream(self, response: UpstreamResponse, kind: str, chosen: Way) -> Failure:
        body = await response.read(MAX_ERROR_BYTES)
        fault = chosen.read_fault(body) if "json" in kind else Fault()
        if fault.message:
            return told_inside(fault)
        return of_provider("malformed", f"a stream was asked for, {kind[:100] or 'no content type'} came")

    # --- telling

    def _head(self, response: UpstreamResponse) -> Headers:
        headers = [*passed(response.headers), (b"x-trunkline-provider", self.offer.provider.encode())]
        if self._losses:
            headers += _told_losses(self._losses)
        return headers

    def _cause(self, error: TransportError) -> str:
        """Silence before the first useful event of a stream is one cause, whatever had come by then."""
        early = self._asked.facts.stream and not self.committed
        return "timeout_first_event" if early and error.kind == "timeout_idle" else error.kind

    def _outcome(self) -> str:
        if self.failure is not None:
            return self.failure.cause
        if self.finished:
            return "ok"
        return "client_left" if self._reply.left else "interrupted"

    def _up(self, attempt: Attempt) -> bool | None:
        if attempt.outcome in ("client_left", "interrupted", "internal", "configuration", "refused"):
            return None
        if attempt.outcome == "status":
            return False if attempt.status >= 500 else None
        return attempt.outcome == "ok"


def _told_losses(losses: tuple[Loss, ...]) -> Headers:
    """What the caller is told of what did not reach the provider as it was."""
    dropped = ", ".join(loss.field for loss in losses if loss.action == "dropped")
    told = "; ".join(f"{loss.field} {loss.action}" for loss in losses)[:MAX_TOLD]
    headers: Headers = [(b"x-trunkline-losses", told.encode("ascii", "replace"))]
    return [(b"x-trunkline-dropped", dropped[:MAX_TOLD].encode("ascii", "replace")), *headers] if dropped else headers
