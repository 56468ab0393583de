"""One upstream call: send, read, and hand the answer to the caller. In: a plan's step. Out: None when the caller was answered, else the `Failure`.

Same protocol on both sides, so bytes pass through (design.md 3.7): whole events are written first and looked at afterwards, but for the one with usage.
"""

import contextlib
import re
from email.utils import parsedate_to_datetime

import msgspec

from trunkline.catalog.types import Offer
from trunkline.errors import TransportError
from trunkline.execution.blame import blame
from trunkline.execution.exchange import Exchange
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.execution.respond import JSON_HEADERS, STREAM_HEADERS, Headers, Reply
from trunkline.execution.transport.types import UpstreamRequest, UpstreamResponse
from trunkline.ir.fault import Blame, Fault
from trunkline.ir.usage import Usage
from trunkline.pricing.money import usd
from trunkline.pricing.types import FREE, Cost
from trunkline.protocols import sse
from trunkline.protocols.openai_chat import answer, errors, stream
from trunkline.protocols.openai_chat.request import ChatRequest, upstream_body
from trunkline.protocols.openai_chat.stop import StopStream, cut_answer
from trunkline.protocols.openai_chat.usage import read_usage, write_usage
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.providers.accounts import Account, endpoint
from trunkline.records.types import Attempt, Intent, Loss
from trunkline.routing.health import Sample
from trunkline.routing.plan import Step

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 1024 * 1024
CHARACTERS_PER_TOKEN = 4
"""For estimates, which are flagged (https://help.openai.com/en/articles/4936856-what-are-tokens-and-how-to-count-them)."""

_NO_PRICE = b"null"
# What of a provider's head may pass: never cookies, the operator's organisation, or the limits of the operator's account (design.md 3.7).
PASSED_HEADERS = frozenset({b"openai-processing-ms", b"openai-version", b"content-language", b"x-simulated"})
_KEY = re.compile(r"\b(?:(?:sk|key|gsk|xai)[-_]|AIza)[A-Za-z0-9*_-]{6,}")
_REQUEST_ID_HEADERS = frozenset({b"x-request-id", b"request-id", b"apim-request-id", b"x-ms-request-id", b"cf-ray"})


class Failure(msgspec.Struct, frozen=True):
    """Why an attempt did not answer the caller. `error` is what the caller would be told if it were the last word."""

    cause: str
    blame: Blame
    status: int = 0
    fault: Fault = Fault()
    retry_after_s: float | None = None

    @property
    def shown_message(self) -> str:
        """The provider's words for records and logs. Some repeat a part of the key that they refuse."""
        return _KEY.sub("[key]", self.fault.message)[:500]


class Attempting:
    """One attempt in flight. Lives from its sending to its `account`."""

    __slots__ = (
        "_exchange",
        "_gateway",
        "_include_cost",
        "_observer",
        "_reply",
        "_request",
        "_response",
        "_settled",
        "_snapshot",
        "_started_at",
        "_started_ms",
        "_step",
        "_usage",
        "committed",
        "cost",
        "failure",
        "finished",
        "offer",
    )  # fmt: skip

    def __init__(
        self, gateway: Gateway, snapshot: Snapshot, exchange: Exchange, reply: Reply, request: ChatRequest, step: Step
    ) -> None:
        self._gateway = gateway
        self._snapshot = snapshot
        self._exchange = exchange
        self._reply = reply
        self._request = request
        self._step = step
        self.offer: Offer = step.offer
        """The offer that is tried."""
        asked = request.facts.include_cost
        self._include_cost = snapshot.policy.include_cost if asked is None else asked
        self._observer = stream.StreamObserver()
        self._response: UpstreamResponse | None = None
        self._started_at = gateway.clock.now_s()
        self._started_ms = gateway.clock.unix_ms()
        self._usage: Usage | None = None
        self._settled: bytes | None = None
        """The raw usage that `_usage` and `cost` were made of."""
        self.cost: Cost = FREE
        self.committed = False
        """Something useful of this attempt went to the caller: no other offer can take over."""
        self.failure: Failure | None = None
        self.finished = False
        """The answer came to its own end."""

    @property
    def finish_reason(self) -> str:
        """In the provider's word; "" where none came."""
        return self._observer.finish_reason

    @property
    def answer_id(self) -> str:
        """The provider's id of the answer."""
        return self._observer.answer_id

    async def run(self) -> Failure | None:
        """Make the call and answer the caller with it. A failure before `committed` leaves the caller untouched."""
        self._intend()
        try:
            account = self._snapshot.account(self.offer.provider)
            transport = self._gateway.transport(account)
            response = self._response = await transport.send(self._upstream_request(account))
            if response.status != 200:
                failure: Failure | None = await self._refused(response)
            elif self._request.facts.stream:
                failure = await self._stream(response)
            else:
                failure = await self._whole(response)
            self.failure = failure and self._without_keys(failure)
            self.finished = failure is None
        except TransportError as error:
            self.failure = Failure(error.kind, Blame.PROVIDER, fault=Fault(message=str(error)))
        finally:
            if self._response is not None:
                self._response.abort()
        return self.failure

    def account(self, ended_at: float) -> Attempt:
        """The attempt as the record keeps it. Prices what was used, estimated where the provider told nothing."""
        failure, observer, response = self.failure, self._observer, self._response
        self._settle()
        sent_at = response.sent_at if response is not None else self._started_at
        return Attempt(
            provider=self.offer.provider,
            offer=self.offer.id,
            upstream_model=self.offer.upstream_model,
            started_ms=self._started_ms,
            ended_ms=self._started_ms + (ended_at - self._started_at) * 1000,
            outcome=self._outcome(),
            status=response.status if response is not None else 0,
            message=failure.shown_message if failure else "",
            first_token_ms=_since(observer.first_at, sent_at),
            last_token_ms=_since(observer.last_at, sent_at),
            usage=self._usage or Usage(),
            cost=self.cost,
            raw_usage=msgspec.Raw(observer.usage or b"null"),
            upstream_request_id=_request_id(response.headers) if response is not None else "",
            reused_connection=response.reused if response is not None else False,
        )

    def sample(self, attempt: Attempt, at_s: float) -> Sample:
        """What the attempt says of its offer's health."""
        speed = None
        if (
            attempt.first_token_ms is not None
            and attempt.last_token_ms is not None
            and attempt.last_token_ms > attempt.first_token_ms
        ):
            speed = attempt.usage.total_output_tokens / (attempt.last_token_ms - attempt.first_token_ms) * 1000
        return Sample(at_s, self._up(attempt), attempt.first_token_ms, speed)

    # --- the call

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

    def _upstream_request(self, account: Account) -> UpstreamRequest:
        offer, facts = self.offer, self._request.facts
        provider = account.provider
        step = self._step
        for name in step.dropped:
            self._exchange.losses.append(Loss(name, "dropped", f"{offer.id} does not support it"))
        for name in step.emulated:
            self._exchange.losses.append(Loss(name, "emulated", f"{offer.id} does not take it; done on the answer"))
        body = upstream_body(
            self._request,
            model=offer.upstream_model,
            drop=step.dropped + step.emulated + provider.drop,
            rename={**provider.rename, **offer.rename} if offer.rename else provider.rename,
            ask_usage=facts.stream and provider.usage_in_stream,
        )
        where = endpoint(account, offer, facts.protocol, self._gateway.next_key(account))
        deadlines = offer.deadlines
        return UpstreamRequest(
            origin=where.origin,
            method=b"POST",
            target=where.target,
            headers=where.headers,
            body=body,
            connect_s=deadlines.connect_s,
            first_byte_s=deadlines.first_event_s if facts.stream else deadlines.total_s,
            # Before the first event the provider may think in silence, with its head already sent.
            idle_s=deadlines.first_event_s if facts.stream else deadlines.total_s,
            total_s=deadlines.total_s,
        )

    def _without_keys(self, failure: Failure) -> Failure:
        """The caller may be told the provider's words, and some providers repeat the key that came with a request."""
        message = failure.fault.message
        for key in self._snapshot.account(self.offer.provider).keys:
            message = message.replace(key, "[key]")
        if message == failure.fault.message:
            return failure
        return msgspec.structs.replace(failure, fault=msgspec.structs.replace(failure.fault, message=message))

    async def _refused(self, response: UpstreamResponse) -> Failure:
        body = b""
        with contextlib.suppress(TransportError):
            body = await response.read(MAX_ERROR_BYTES)
        fault = errors.read_fault(body)
        whose = blame(response.status, fault)
        return Failure("status", whose, response.status, fault, _retry_after_s(response.headers, self._started_ms))

    # --- an answer that is not streamed

    async def _whole(self, response: UpstreamResponse) -> Failure | None:
        body = await response.read(MAX_ANSWER_BYTES)
        try:
            seen = answer.read(body)
        except UNREADABLE as error:
            return Failure(
                "malformed",
                Blame.PROVIDER,
                response.status,
                Fault(message=f"the answer is not a chat completion: {error}"),
            )
        if seen.error is not None:
            return _told_inside(errors.read_stream_fault(seen.error))
        if not seen.has_choices:
            return Failure("empty", Blame.PROVIDER, response.status, Fault(message="the answer has no choices"))
        observer = self._observer
        observer.answer_id, observer.finish_reason, observer.usage = seen.id, seen.finish_reason, seen.usage
        observer.characters, observer.service_tier = seen.characters, seen.service_tier
        if "stop" in self._step.emulated:
            body = cut_answer(body, self._request.facts.stop)
        self._settle()
        cost, details = self._cost_json()
        headers = self._head(response)
        if cost != _NO_PRICE:
            headers.append((b"x-trunkline-cost", cost))
        if self._include_cost and self._usage is not None:
            body = answer.put_cost(body, seen.usage or write_usage(self._usage), cost, details)
        self.committed = True
        self._exchange.first_token_at = self._gateway.clock.now_s()
        await self._reply.whole(200, JSON_HEADERS + headers, body)
        return None

    # --- a stream

    async def _stream(self, response: UpstreamResponse) -> Failure | None:
        kind = _header(response.headers, b"content-type")
        if not kind.startswith("text/event-stream"):
            return await self._not_a_stream(response, kind)
        framer, observer, now_s = sse.Framer(), self._observer, self._gateway.clock.now_s
        words = self._request.facts.stop if "stop" in self._step.emulated else ()
        stops = StopStream(words) if words else None
        held: list[bytes] = []
        while chunk := await response.chunk():
            block = framer.feed(chunk)
            if framer.waiting_bytes > MAX_ANSWER_BYTES:
                return Failure("malformed", Blame.PROVIDER, response.status, Fault(message="an event has no end"))
            if not block:
                continue
            if self.committed and stops is None and not (stream.has_usage(block) or stream.has_error(block)):
                # The ordinary case: the caller first, then our eyes.
                await self._reply.write(block)
                at = now_s()
                for one in sse.events(block):
                    observer.see(one, at)
            else:
                held.append(self._screen(block, stops))
                if not self.committed and observer.error is None and observer.useful:
                    await self._commit(response)
                if self.committed:
                    await self._reply.write(b"".join(held))
                    held.clear()
            if observer.error is not None:
                return _told_inside(errors.read_stream_fault(observer.error))
            if not self.committed and now_s() - response.sent_at > self.offer.deadlines.first_event_s:
                return Failure(
                    "timeout_first_event", Blame.PROVIDER, response.status, Fault(message="no useful event in time")
                )
        return await self._ended(response, framer.rest())

    async def _ended(self, response: UpstreamResponse, rest: bytes) -> Failure | None:
        observer = self._observer
        if not observer.useful:
            cause = "malformed" if observer.malformed else "empty"
            return Failure(cause, Blame.PROVIDER, response.status, Fault(message="the stream ended without an answer"))
        if not observer.finish_reason and not observer.done:
            return Failure(
                "truncated", Blame.PROVIDER, response.status, Fault(message="the stream ended before its answer did")
            )
        if rest:
            await self._reply.write(rest)
        await self._reply.end()
        return None

    async def _commit(self, response: UpstreamResponse) -> None:
        self.committed = True
        response.idle_s = self.offer.deadlines.idle_s
        self._exchange.first_token_at = self._gateway.clock.now_s()
        await self._reply.start(200, STREAM_HEADERS + self._head(response))

    def _screen(self, block: bytes, stops: StopStream | None) -> bytes:
        """Look at events before they are written: for what must be held, edited or taken out."""
        at, out = self._gateway.clock.now_s(), []
        for one in sse.events(block):
            self._observer.see(one, at)
            if self._observer.error is not None:
                break
            shown = self._with_cost(one) if stream.has_usage(one) else one
            out.append(stops.feed(shown) if stops is not None and shown else shown)
        return b"".join(out)

    def _with_cost(self, one: bytes) -> bytes:
        """The event that carries usage: taken out if it was we who asked for it, else with its cost."""
        observer = self._observer
        if observer.usage is None:
            return one
        if observer.is_usage_only and not self._request.facts.wants_usage:
            return b""
        if not self._include_cost:
            return one
        self._settle()
        return stream.put_cost(one, observer.usage, *self._cost_json())

    async def _not_a_stream(self, response: UpstreamResponse, kind: str) -> Failure:
        body = await response.read(MAX_ERROR_BYTES)
        fault = errors.read_fault(body) if "json" in kind else Fault()
        if fault.message:
            return _told_inside(fault)
        return Failure(
            "malformed",
            Blame.PROVIDER,
            response.status,
            Fault(message=f"a stream was asked for, {kind or 'no content type'} came"),
        )

    # --- money

    def _settle(self) -> None:
        """Read the usage, or estimate it, and price it. What is known last counts."""
        observer, facts = self._observer, self._request.facts
        if observer.usage is not None and observer.usage is self._settled:
            return
        self._settled = observer.usage
        usage: Usage | None = None
        if observer.usage is not None:
            try:
                usage = read_usage(observer.usage)
            except UNREADABLE as error:
                self._exchange.notes.append(f"usage could not be read: {error}")
        if usage is None and observer.useful:
            usage = Usage(
                input_tokens=-(-facts.prompt_bytes // CHARACTERS_PER_TOKEN),
                output_tokens=-(-observer.characters // CHARACTERS_PER_TOKEN),
                estimated=True,
            )
        if usage is not None and usage != self._usage:
            self._usage = usage
            self.cost = self._snapshot.price(self.offer, usage, self._started_ms, observer.service_tier)

    def _spent(self) -> int:
        """Of the whole request so far, in pico-USD."""
        earlier = self._exchange.attempts
        return self.cost.total_pico_usd + (sum([one.cost.total_pico_usd for one in earlier]) if earlier else 0)

    def _cost_json(self) -> tuple[bytes, bytes]:
        """`cost` and `cost_details` as JSON. An item without a price is null, never zero."""
        cost = self.cost
        amounts: dict[str, int] = {}
        for line in cost.lines:
            amounts[line.item] = amounts.get(line.item, 0) + line.amount_pico_usd
        parts = [f'"{item}":{usd(amount)}' for item, amount in amounts.items()]
        if cost.unpriced:
            parts += [f'"{item}":null' for item in cost.unpriced if item not in amounts]
        total = usd(self._spent()).encode() if amounts or not cost.unpriced else _NO_PRICE
        return total, f"{{{','.join(parts)}}}".encode()

    # --- telling

    def _head(self, response: UpstreamResponse) -> Headers:
        passed = [(name, value) for name, value in response.headers if name in PASSED_HEADERS]
        return [*passed, (b"x-trunkline-provider", self.offer.provider.encode())]

    def _outcome(self) -> str:
        if self.failure is not None:
            return self.failure.cause
        if self.finished:
            return "ok"
        return "client_left" if self._reply.left else "interrupted"

    def _up(self, attempt: Attempt) -> bool | None:
        if attempt.outcome in ("client_left", "interrupted"):
            return None
        if attempt.outcome == "status":
            return False if attempt.status >= 500 else None
        return attempt.outcome == "ok"


def _told_inside(fault: Fault) -> Failure:
    """An error that came in the body or the stream of an answer with status 200, as the status that it means."""
    status = _status_inside(fault)
    return Failure("in_stream_error", blame(status, fault), status, fault)


def _status_inside(fault: Fault) -> int:
    if len(fault.code) == 3 and fault.code.isdigit():
        return int(fault.code)
    return 400 if fault.type == "invalid_request_error" else 500


def _since(at: float | None, start: float) -> float | None:
    return None if at is None else (at - start) * 1000


def _header(headers: Headers, wanted: bytes) -> str:
    for name, value in headers:
        if name == wanted:
            return value.decode("latin-1")
    return ""


def _request_id(headers: Headers) -> str:
    """The provider's own id of the call, under the first of the names in use that it sends."""
    for name, value in headers:
        if name in _REQUEST_ID_HEADERS:
            return value.decode("latin-1")
    return ""


def _retry_after_s(headers: Headers, now_ms: float) -> float | None:
    """`Retry-After` in seconds or as a date (RFC 9110 10.2.3), or OpenAI's finer `retry-after-ms`."""
    fine = _header(headers, b"retry-after-ms")
    if fine.replace(".", "", 1).isdigit():
        return float(fine) / 1000
    text = _header(headers, b"retry-after")
    if text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_ms / 1000)
    except (TypeError, ValueError):
        return None
