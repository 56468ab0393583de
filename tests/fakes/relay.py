"""Offers that go on with each other's answers, without a network. `Relay(client, kinds, ...)` -> `run(cuts)`: what the caller reads of it all.

Every provider goes on from the beginning that it is given in its request, so the whole text is the same whoever said which part of it. The ways are
the real ones; only their pieces are handed to them here.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.fakes.caller import CallerConnection
from tests.fakes.talking import USERS, request
from trunkline.api.call import Call
from trunkline.catalog.types import Catalog, Model, Offer, Provider
from trunkline.errors import NoProviderAvailable
from trunkline.execution.asked import Asked, Door
from trunkline.execution.bill import Bill
from trunkline.execution.codecs import codec_of
from trunkline.execution.failure import Failure
from trunkline.execution.gateway import Policy, Snapshot, Vault
from trunkline.execution.rescue import Continuation, continuation_of, takes
from trunkline.execution.streaming import Streaming, Terms
from trunkline.execution.transport.types import Reset, Take
from trunkline.execution.ways import Way, way
from trunkline.ir.events import Delta, Event, Finish, PartEnd, PartStart, Start, UsageSeen
from trunkline.ir.parts import Text
from trunkline.ir.request import Reasoning, Request
from trunkline.ir.response import FinishReason
from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost, CostLine
from trunkline.protocols.codec import GEMINI, AnswerContext, RequestContext
from trunkline.protocols.codec import Bill as Shown
from trunkline.protocols.sse import data_of, events
from trunkline.providers.accounts import Account
from trunkline.records.types import Attempt
from trunkline.routing.types import Step

MODEL = "acme/alpha"
VAULT = Vault(b"s" * 32, lambda key, data: None)
PROMPT_TOKENS = 7


def price(offer: Offer, usage: Usage, at_ms: float, tier: str | None) -> Cost:
    amount = usage.total_input_tokens + usage.total_output_tokens * 1000
    return Cost((CostLine("completion", usage.total_output_tokens, "perMTokens", "1", amount),), amount)


def said_events(pieces: list[str], reason: FinishReason = FinishReason.END) -> list[Event]:
    """A text in pieces; each costs a token."""
    usage = Usage(input_tokens=PROMPT_TOKENS, output_tokens=len(pieces))
    deltas: list[Event] = [Delta(0, piece) for piece in pieces]
    ends = [PartEnd(0), Finish(reason), UsageSeen(usage, msgspec.Raw(b"null"))]
    return [Start("provider_1", "alpha-1", 7), PartStart(0, Text("")), *deltas, *ends]


def on_the_wire(protocol: str, answer: list[Event], number: int) -> list[bytes]:
    """As a provider of the protocol writes it."""
    asked = Request(
        origin=protocol,
        model="alpha-1",
        turns=(),
        stream=True,
        include_usage=True,
        reasoning=Reasoning(enabled=True, shown=True),
    )
    writer = codec_of(protocol).stream_writer(
        AnswerContext(request=asked, request_id=f"provider{number}", model="alpha-1", created_s=70 + number, secret=b"p" * 32, keep=VAULT.keep)
    )  # fmt: skip
    written = b"".join(writer.feed(event) for event in answer) + writer.end(Shown())
    return events(written)


class Pieces:
    """A provider's answer, that ends or breaks after these."""

    status, headers, reused, sent_at, idle_s = 200, [], False, 0.0, 1.0

    def __init__(self, pieces: list[bytes], error: Exception | None) -> None:
        self._pieces = pieces
        self._error = error
        self.aborted = False

    async def pump(self, take: Take) -> None:
        for piece in self._pieces:
            take(piece)
            if self.aborted:
                raise Reset("aborted by us")
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        self.aborted = True


@dataclass
class Relay:
    """One request of a `client`, and an offer of each of `kinds`, in order."""

    client: str
    kinds: list[str]
    prefill: list[bool | str]
    fields: dict[str, Any] = field(default_factory=dict)
    bodies: list[Any] = field(default_factory=list)
    """What each provider was sent."""
    attempts: list[Attempt] = field(default_factory=list)
    continuation: Continuation | None = None
    failure: Failure | None = None

    def __post_init__(self) -> None:
        offers = tuple(
            Offer(model=MODEL, provider=f"p{at}", upstream_model="alpha-1", protocols=(kind,), prefill=self.prefill[at])
            for at, kind in enumerate(self.kinds)
        )
        model = Model(slug=MODEL, name="alpha", author="acme", offers=offers)
        providers = {
            offer.provider: Provider(offer.provider, offer.provider, base_urls={offer.protocols[0]: "http://acme.test"})
            for offer in offers
        }
        accounts = {slug: Account(one, one.base_urls, ("key",), True) for slug, one in providers.items()}
        self.offers = offers
        self.snapshot = Snapshot(Catalog("1", {MODEL: model}, providers), accounts, Policy(), price)
        _, body = request(self.client, MODEL, USERS[self.client]("hi"), stream=True, **self.fields)
        is_gemini = self.client == GEMINI
        door = Door(self.client, path_model=MODEL if is_gemini else "", path_stream=is_gemini)
        self.asked = Asked(door, json.dumps(body).encode(), "req_1", 1, VAULT, has_state=False)
        self.caller = CallerConnection()
        self.reply = self.caller.reply(Call(self.caller, "POST", b"/", [], keep_alive=False, http_10=True))  # type: ignore[arg-type]

    async def offer(self, at: int, pieces_for: Any) -> bool:
        """Let the offer try; `pieces_for(sent body)` gives pieces and the error that ends them. Whether the answer came to its end."""
        offer = self.offers[at]
        account = self.snapshot.account(offer.provider)
        assert self.continuation is None or takes(offer, self.continuation)
        made = way(
            self.asked, Step(offer), account, self.snapshot, "req_1", 1, forgetting=False, continuation=self.continuation
        )  # fmt: skip
        bill = Bill(self.snapshot, offer, self.asked.facts, made.read_usage, 0.0, [])
        sent = made.sent().body
        self.bodies.append(json.loads(sent))
        pieces, error = pieces_for(sent)
        terms = Terms(head=[], first_event_s=60.0, idle_s=60.0, include_cost=True, earlier=self.attempts)
        answer = Pieces(pieces, error)
        streaming = made.streaming(answer, self.reply, bill, terms, lambda: 0.0, lambda at: True)  # type: ignore[arg-type]
        try:
            self.failure = await streaming.run()
            broke = self.failure is not None
        except Reset:
            broke = True
        self._account(offer, bill, streaming)
        self.continuation = self._after(made, streaming) if broke else None
        return not broke

    def _account(self, offer: Offer, bill: Bill, streaming: Streaming) -> None:
        bill.settle(streaming.observed)
        usage = bill.usage or Usage()
        self.attempts.append(Attempt(offer.provider, offer.id, "alpha-1", 0.0, usage=usage, cost=bill.cost))

    def _after(self, made: Way, streaming: Streaming) -> Continuation | None:
        return continuation_of(made) if streaming.committed else self.continuation

    def give_up(self) -> None:
        self.reply.write(self.asked.error_in_stream(NoProviderAvailable("It broke off.")))
        self.reply.end()

    @property
    def events(self) -> list[Any]:
        """What the caller got, as `tests.fakes.talking.understood` wants it."""
        body = self.caller.written.partition(b"\r\n\r\n")[2]
        told = [data_of(one) for one in events(body)]
        return [json.loads(data) for data in told if data and data != b"[DONE]"]

    @property
    def started(self) -> bool:
        return bool(self.caller.written)


def beginning_in(protocol: str, body: bytes) -> str:
    """The beginning of the answer that a provider finds in its request."""
    read = codec_of(protocol).read_request(body, RequestContext(request_id="x", secret=b"p" * 32, path_model="alpha-1"))
    last = read.turns[-1]
    return "".join(part.text for part in last.parts if isinstance(part, Text)) if last.role == "assistant" else ""
