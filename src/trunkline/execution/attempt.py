"""One upstream call: send, read, and hand the answer to the caller. In: a plan's step. Out: None when the caller was answered, else the `Failure`.

Same protocol on both sides, so bytes pass through (design.md 3.7): whole events are written first and looked at afterwards, but for the one with usage.
"""

import contextlib
from collections.abc import Iterator

import msgspec

from trunkline.catalog.types import Offer
from trunkline.errors import ConfigError, TransportError
from trunkline.execution.blame import blame
from trunkline.execution.exchange import Exchange
from trunkline.execution.failure import Failure, of_provider, told_inside
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.execution.respond import JSON_HEADERS, STREAM_HEADERS, Headers, Reply
from trunkline.execution.transport.types import UpstreamResponse
from trunkline.execution.upstream import header, losses, passed, request_id, retry_after_s, upstream_request
from trunkline.ir.fault import Blame, Fault
from trunkline.ir.usage import Usage
from trunkline.pricing.money import usd
from trunkline.pricing.types import FREE, Cost
from trunkline.protocols import sse
from trunkline.protocols.openai_chat import answer, errors, stream
from trunkline.protocols.openai_chat.request import ChatRequest
from trunkline.protocols.openai_chat.stop import StopStream, cut_answer
from trunkline.protocols.openai_chat.usage import read_usage, write_usage
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.records.types import Attempt, Intent
from trunkline.routing.health import Sample
from trunkline.routing.plan import Step

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 1024 * 1024
MAX_HELD_BYTES = 1024 * 1024
"""Of events that tell a caller nothing yet: no provider opens a stream with more."""
AFTER_DONE_S = 1.0
CHARACTERS_PER_TOKEN = 4
"""For estimates, which are flagged (https://help.openai.com/en/articles/4936856-what-are-tokens-and-how-to-count-them)."""
_NO_PRICE = b"null"


class Attempting:
    """One attempt in flight. Lives from its sending to its `account`."""

    __slots__ = (
        "_exchange", "_gateway", "_include_cost", "_reply", "_request", "_response", "_settled", "_snapshot", "_started_at", "_started_ms",
        "_step", "_usage", "committed", "cost", "failure", "finished", "offer", "seen",
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
        self._response: UpstreamResponse | None = None
        self._started_at = gateway.clock.now_s()
        self._started_ms = gateway.clock.unix_ms()
        self._usage: Usage | None = None
        self._settled: bytes | None = None
        """The raw usage that `_usage` and `cost` were made of."""
        self.seen: answer.Answer | stream.StreamObserver = answer.NOTHING
        """What came of the answer."""
        self.cost: Cost = FREE
        self.committed = False
        """Something useful of this attempt went to the caller: no other offer can take over."""
        self.failure: Failure | None = None
        self.finished = False
        """The answer came to its own end."""

    async def run(self) -> Failure | None:
        """Make the call and answer the caller with it. A failure before `committed` leaves the caller untouched."""
        gateway, account = self._gateway, self._snapshot.account(self.offer.provider)
        self._intend()
        try:
            request = upstream_request(self._request, self._step, account, gateway.next_key(account))
            self._exchange.losses = list(losses(self._request, self._step, account))
            response = self._response = await gateway.transport(account).send(request)
            if response.status != 200:
                failure: Failure | None = await self._refused(response)
            elif self._request.facts.stream:
                failure = await self._stream(response)
            else:
                failure = await self._whole(response)
            self.failure = failure and failure.without(account.keys)
            self.finished = failure is None
        except TransportError as error:
            self.failure = of_provider(self._cause(error), str(error), 0)
        except ConfigError as error:
            self.failure = Failure("configuration", Blame.OPERATOR, fault=Fault(message=str(error)))
        except Exception:
            self.failure = Failure("internal", Blame.OPERATOR)
            raise
        finally:
            if self._response is not None:
                self._response.abort()
        return self.failure

    def account(self, ended_at: float) -> Attempt:
        """The attempt as the record keeps it. Prices what was used, estimated where the provider told nothing."""
        self._settle()
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
            self._usage or Usage(),
            self.cost,
            msgspec.Raw(seen.usage or b"null"),
            "" if response is None else request_id(response.headers),
            False if response is None else response.reused,
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

    async def _refused(self, response: UpstreamResponse) -> Failure:
        body = b""
        with contextlib.suppress(TransportError):
            body = await response.read(MAX_ERROR_BYTES)
        fault = errors.read_fault(body)
        wait_s = retry_after_s(response.headers, self._started_ms)
        return Failure("status", blame(response.status, fault), response.status, fault, wait_s)

    # --- an answer that is not streamed

    async def _whole(self, response: UpstreamResponse) -> Failure | None:
        body = await response.read(MAX_ANSWER_BYTES)
        try:
            seen = answer.read(body)
        except UNREADABLE as error:
            return of_provider("malformed", f"the answer is not a chat completion: {error}")
        if seen.error is not None:
            return told_inside(errors.read_stream_fault(seen.error))
        if not seen.has_choices:
            return of_provider("empty", "the answer has no choices")
        self.seen = seen
        if self._step.emulated and self._request.facts.stop:
            body = cut_answer(body, self._request.facts.stop)
        self._settle()
        cost, details = self._cost_json()
        headers = JSON_HEADERS + self._head(response)
        if cost != _NO_PRICE:
            headers.append((b"x-trunkline-cost", cost))
        if self._include_cost and self._usage is not None:
            with self._harmless():
                body = answer.put_cost(body, seen.usage or write_usage(self._usage), cost, details)
        self.committed = True
        await self._reply.whole(200, headers, body)
        return None

    # --- a stream

    async def _stream(self, response: UpstreamResponse) -> Failure | None:
        kind = header(response.headers, b"content-type").lower()
        if not kind.startswith("text/event-stream"):
            return await self._not_a_stream(response, kind)
        observer = self.seen = stream.StreamObserver()
        framer, now_s, reply = sse.Framer(), self._gateway.clock.now_s, self._reply
        words = self._request.facts.stop if self._step.emulated else ()
        stops = StopStream(words) if words else None
        held: list[bytes] = []
        while chunk := await (_last_words(response) if observer.done else response.chunk()):
            block = framer.feed(chunk)
            if framer.waiting_bytes > MAX_ANSWER_BYTES:
                return of_provider("malformed", "an event has no end")
            if not block:
                continue
            if self.committed and stops is None and stream.is_plain(block):
                # The ordinary case: the caller first, then our eyes.
                await reply.write(block)
                observer.pass_by(block, now_s())
                continue
            held.append(self._screen(block, observer, stops))
            if not self.committed and observer.error is None and observer.useful:
                await self._commit(response)
            if self.committed:
                await reply.write(b"".join(held))
                held.clear()
            if observer.error is not None:
                return told_inside(errors.read_stream_fault(observer.error))
            failure = None if self.committed else self._not_yet(response, held)
            if failure is not None:
                return failure
        return await self._ended(observer, framer.rest())

    def _not_yet(self, response: UpstreamResponse, held: list[bytes]) -> Failure | None:
        """Events came, none of them useful: how long, and how much, may this go on?"""
        if sum([len(block) for block in held]) > MAX_HELD_BYTES:
            return of_provider("malformed", "the stream opens with events that say nothing")
        left_s = self.offer.deadlines.first_event_s - (self._gateway.clock.now_s() - response.sent_at)
        if left_s <= 0:
            return of_provider("timeout_first_event", "no useful event in time")
        response.idle_s = left_s
        return None

    async def _ended(self, observer: stream.StreamObserver, rest: bytes) -> Failure | None:
        if not observer.useful:
            return of_provider("malformed" if observer.malformed else "empty", "the stream ended without an answer")
        if not observer.finish_reason and not observer.done:
            return of_provider("truncated", "the stream ended before its answer did")
        if rest:
            await self._reply.write(rest)
        await self._reply.end()
        return None

    async def _commit(self, response: UpstreamResponse) -> None:
        self.committed = True
        response.idle_s = self.offer.deadlines.idle_s
        self._exchange.first_token_at = self._gateway.clock.now_s()
        await self._reply.start(200, STREAM_HEADERS + self._head(response))

    def _screen(self, block: bytes, observer: stream.StreamObserver, stops: StopStream | None) -> bytes:
        """Look at events before they are written: for what must be held, edited or taken out."""
        at, out = self._gateway.clock.now_s(), []
        for one in sse.events(block):
            observer.see(one, at)
            if observer.error is not None:
                break
            if observer.done and observer.usage is None:
                out.append(self._estimate_event(observer))
            shown = self._with_cost(one, observer) if stream.has_usage(one) else one
            out.append(stops.feed(shown) if stops is not None and shown else shown)
        return b"".join(out)

    def _with_cost(self, one: bytes, observer: stream.StreamObserver) -> bytes:
        """The event that carries usage: taken out if it was we who asked for it, else with its cost."""
        if observer.usage is None:
            return one
        if observer.is_usage_only and not self._request.facts.wants_usage:
            return b""
        if self._include_cost:
            self._settle()
            with self._harmless():
                return stream.put_cost(one, observer.usage, *self._cost_json())
        return one

    def _estimate_event(self, observer: stream.StreamObserver) -> bytes:
        """The usage event that the caller asked for and the provider did not send, estimated and saying so."""
        if not self._request.facts.wants_usage or not self._include_cost or not observer.useful:
            return b""
        self._settle()
        assert self._usage is not None, "something useful was seen"
        usage = write_usage(self._usage)
        plain = stream.usage_event(observer.answer_id, self.offer.upstream_model, int(self._started_ms // 1000), usage)
        return stream.put_cost(plain, usage, *self._cost_json())

    async def _not_a_stream(self, response: UpstreamResponse, kind: str) -> Failure:
        body = await response.read(MAX_ERROR_BYTES)
        fault = errors.read_fault(body) if "json" in kind else Fault()
        if fault.message:
            return told_inside(fault)
        return of_provider("malformed", f"a stream was asked for, {kind[:100] or 'no content type'} came")

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """What goes wrong while looking or adding marks the record, and never reaches the caller."""
        try:
            yield
        except UNREADABLE as error:
            self._exchange.notes.append(f"cost could not be put in: {error}")

    # --- money

    def _settle(self) -> None:
        """Read the usage, or estimate it, and price it. What is known last counts."""
        seen, facts = self.seen, self._request.facts
        raw = seen.usage
        if raw is not None and raw is self._settled:
            return
        self._settled = raw
        usage: Usage | None = None
        if raw is not None:
            try:
                usage = read_usage(raw)
            except UNREADABLE as error:
                self._exchange.notes.append(f"usage could not be read: {error}")
        if usage is None and seen.useful:
            usage = Usage(
                input_tokens=-(-facts.prompt_bytes // CHARACTERS_PER_TOKEN),
                output_tokens=-(-seen.characters // CHARACTERS_PER_TOKEN),
                estimated=True,
            )
        if usage is not None and usage != self._usage:
            self._usage = usage
            self.cost = self._snapshot.price(self.offer, usage, self._started_ms, seen.service_tier)

    def _cost_json(self) -> tuple[bytes, bytes]:
        """`cost` and `cost_details` as JSON. The cost is of all attempts so far; an item without a price is null, never zero."""
        cost, earlier = self.cost, self._exchange.attempts
        parts = [f'"{line.item}":{usd(line.amount_pico_usd)}' for line in cost.lines]
        if cost.unpriced:
            priced = {line.item for line in cost.lines}
            parts += [f'"{item}":null' for item in cost.unpriced if item not in priced]
            if not cost.lines:
                return _NO_PRICE, f"{{{','.join(parts)}}}".encode()
        spent = cost.total_pico_usd
        if earlier:
            spent += sum([one.cost.total_pico_usd for one in earlier])
        return usd(spent).encode(), f"{{{','.join(parts)}}}".encode()

    # --- telling

    def _head(self, response: UpstreamResponse) -> Headers:
        headers = [*passed(response.headers), (b"x-trunkline-provider", self.offer.provider.encode())]
        if self._step.dropped:
            headers.append((b"x-trunkline-dropped", ", ".join(self._step.dropped).encode()))
        return headers

    def _cause(self, error: TransportError) -> str:
        """Silence before the first useful event of a stream is one cause, whatever had come by then."""
        early = self._request.facts.stream and not self.committed
        return "timeout_first_event" if early and error.kind == "timeout_idle" else error.kind

    def _outcome(self) -> str:
        if self.failure is not None:
            return self.failure.cause
        if self.finished:
            return "ok"
        return "client_left" if self._reply.left else "interrupted"

    def _up(self, attempt: Attempt) -> bool | None:
        if attempt.outcome in ("client_left", "interrupted", "internal", "configuration"):
            return None
        if attempt.outcome == "status":
            return False if attempt.status >= 500 else None
        return attempt.outcome == "ok"


async def _last_words(response: UpstreamResponse) -> bytes:
    """What comes after [DONE]: nothing that goes wrong matters any more, and nothing is waited for long."""
    response.idle_s = AFTER_DONE_S
    try:
        return await response.chunk()
    except TransportError:
        return b""
