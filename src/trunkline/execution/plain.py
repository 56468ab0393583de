"""The short way: a request of a known shape to an offer that is connected, without a task of its own. In: a body. Out: the answer, and one record.

Nothing is decided here. Whatever is not as it mostly is (no kept connection, a status, an error, a caller that leaves, a stop) goes to `run`, which takes
the attempt over as it stands: `Begun`.
"""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol

import msgspec

from trunkline.accounts.keys import ApiKey
from trunkline.accounts.shared import Grant
from trunkline.accounts.terms import KeyTerms
from trunkline.accounts.types import NO_RULES
from trunkline.errors import RequestError
from trunkline.execution.accounting import Paying
from trunkline.execution.affinity import MIN_PROMPT_BYTES, note
from trunkline.execution.asked import Door, asked_of
from trunkline.execution.begun import Begun
from trunkline.execution.bill import NO_PRICE, written_of
from trunkline.execution.exchange import Client, Exchange, opened
from trunkline.execution.explain import told
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.execution.learning import MAX_BODY_BYTES
from trunkline.execution.planning import MAX_MODEL_NAME, best, in_order
from trunkline.execution.quotes import claim_of
from trunkline.execution.refusing import rate_headers
from trunkline.execution.respond import Caller, Headers, Reply, id_lines
from trunkline.execution.run import run
from trunkline.execution.shapes import Road, Shape
from trunkline.execution.transport.connection import Connection
from trunkline.execution.transport.exchange import Exchange as Response
from trunkline.execution.transport.lengths import KNOWN_LENGTHS, LENGTHS
from trunkline.execution.upstream import REQUEST_IDS, SHOWN, shown_of
from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost
from trunkline.protocols.openai_chat import answer
from trunkline.protocols.openai_chat.measure import text_bytes
from trunkline.protocols.openai_chat.usage import read_usage
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.records.types import Attempt, Intent, Record
from trunkline.routing.tokens import LEAST_BYTES
from trunkline.routing.types import Plan

_SEALED = b'"tl1'
_STATE = b'"reasoning_details"'
_MAX_NESTED = 500
"""Values inside values have an end, which is nearer for a whole body than for its messages alone; so far from it no reader is."""


class Place(Caller, Protocol):
    """Where an answer is made: an `api.call.Call`."""

    on_stop: Any

    def plainly(self, lines: bytes, body: bytes) -> None:
        """Answer with status 200, header lines and a body."""
        ...

    def go_on(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the rest in a task."""
        ...


class Head(msgspec.Struct, frozen=True):
    """What a head says; the same for each request with it."""

    door: Door
    client: Client
    log: Any


def begin_plainly(
    gateway: Gateway,
    place: Place,
    head: Head,
    key: ApiKey,
    id_: str,
    received_at: float,
    received_ms: float,
    body: bytes,
    reply: Reply | None = None,
    terms: KeyTerms | None = None,
) -> bool:
    """Send the request, if it is one of those. False: nothing was done. True: it is one that is open (`Gateway.open`). `received_at` is loop time.

    Its key is good and may speak this protocol, `terms` are what it is held to; `reply` is there where somebody has made one.
    """
    snapshot = gateway.snapshot if gateway.apart is None else gateway.snapshot_of(key)
    if len(body) > MAX_BODY_BYTES or gateway.captures is not None or gateway.sink.is_full:
        return False
    shapes = snapshot.shapes if key.rules is NO_RULES else snapshot.shapes.under(key.rules)
    found = shapes.find(body)
    if found is None:
        return False
    shape, messages = found
    known, size = shape.known, text_bytes(messages)
    if size is None or not shape.from_ms <= received_ms < shape.until_ms or messages.find(_SEALED) >= 0:
        return False
    if len(messages) > _MAX_NESTED and messages.count(b"[") + messages.count(b"{") > _MAX_NESTED:
        return False
    prompt_bytes = shape.beside_bytes + size
    if prompt_bytes > known.eligible.sure_bytes:
        return False
    started_at = gateway.clock.now_s()
    try:
        ranked = in_order(gateway, known, started_at)
    except RequestError:
        return False
    if len(ranked.rated) > 1 and (prompt_bytes >= MIN_PROMPT_BYTES or messages.find(_STATE) >= 0):
        # Where its conversation is held counts more than chance.
        return False
    chosen = ranked.plan(ranked.pick(gateway.chance if snapshot.policy.spread else best))
    step = chosen.steps[0]
    road = shape.roads.get(step.offer.id)
    if road is None or road.step is not step:
        return False
    connection = road.pool.take(started_at)
    if connection is None:
        return False
    grant = None
    if terms is not None and terms.claims:
        grant = _granted(gateway, terms, shape, road, id_, received_ms, prompt_bytes, len(body))
        if grant is None:
            # What it lacks, the long way finds out and tells.
            road.pool.give_back(connection)
            return False
    reserved = 0 if grant is None else grant.amount_pico_usd
    offer, started_ms = road.offer, gateway.clock.unix_ms()
    token = gateway.health.begin(offer.id, started_at)
    gateway.sink.intend(
        Intent(id_, started_ms, head.door.protocol, offer.model, offer.id, offer.provider, key.id, reserved)
    )
    size = road.around_bytes + len(messages)
    length = LENGTHS[size] if size < KNOWN_LENGTHS else b"%d\r\n\r\n" % size
    under_way = Plain(
        gateway, snapshot, place, head, key, id_, received_at, received_ms, body, reply, shape, prompt_bytes, road, chosen, connection,
        started_at, started_ms, token, terms, grant,
    )  # fmt: skip
    place.on_left, place.on_stop = under_way.left, under_way.hand_over
    connection.begin_plainly(
        b"".join((road.head, length, road.before, messages, road.after)), started_at, road.total_s, under_way
    )
    return True


def _granted(
    gateway: Gateway,
    terms: KeyTerms,
    shape: Shape,
    road: Road,
    id_: str,
    received_ms: float,
    prompt_bytes: int,
    request_bytes: int,
) -> Grant | None:
    """What its key is held to lets it go. None: nothing was claimed."""
    accounting, quotes, offer = gateway.accounting, shape.quotes, road.offer
    if accounting is None or quotes is None or offer.model != quotes.model:
        return None
    claim = claim_of(accounting, terms, quotes, offer.id, id_, received_ms, prompt_bytes, request_bytes)
    return None if claim is None else accounting.granted_at_once(claim)


class Plain(msgspec.Struct, eq=False):
    """One request under way. Lives from its sending to its answer, or until `run` takes over."""

    _gateway: Gateway
    _snapshot: Snapshot
    _place: Place
    _head: Head
    _key: ApiKey
    _id: str
    _received_at: float
    _received_ms: float
    _body: bytes
    _reply: Reply | None
    _shape: Shape
    _prompt_bytes: int
    _road: Road
    _chosen: Plan
    _connection: Connection
    _started_at: float
    _started_ms: float
    _token: int
    _terms: KeyTerms | None
    _grant: Grant | None
    response: Response | None = None
    """The answer, where it does not come whole."""
    _is_over: bool = False

    # Of the caller.

    def left(self) -> None:
        """The caller has left."""
        self._hand_over(is_left=True)

    def hand_over(self) -> None:
        """To `run`, which knows what to do. Nothing was told to the caller yet."""
        self._hand_over(is_left=False)

    def _hand_over(self, *, is_left: bool) -> None:
        """A caller may leave before the task of `run` has begun to watch it."""
        if self._is_over:
            return
        self._is_over = True
        place, head = self._place, self._head
        response = self.response or self._connection.exchange()
        assert response is not None, "it is under way"
        response.on_end = None
        place.on_stop = None
        reply = self._reply or Reply(place, self._id, asyncio.get_running_loop())
        place.on_left = reply.caller_left
        reply.left = reply.left or is_left
        exchange = self._exchange()
        if self._grant is not None and self._terms is not None and self._gateway.accounting is not None:
            exchange.paying = Paying(self._gateway.accounting, self._terms, exchange)
            exchange.paying.is_granted(self._grant)
        reply.told = partial(told, exchange, False)
        begun = Begun(self._chosen, self._road.key, response, self._started_at, self._started_ms, self._token)
        place.go_on(run(self._gateway, exchange, reply, head.door, self._body, head.log, begun=begun))

    def _exchange(self) -> Exchange:
        """As `run` would have it by now."""
        head, road = self._head, self._road
        offer, facts = road.offer, self._shape.facts
        made = opened(self._id, head.door.protocol, self._received_at, self._received_ms, head.client, self._key)
        made.snapshot, made.price_version = self._snapshot, self._snapshot.catalog.version
        made.request_bytes = len(self._body)
        made.asked_model, made.model = facts.model[:MAX_MODEL_NAME], offer.model
        made.session_id = made.session_id or facts.session_id
        made.candidates = self._chosen.candidates
        made.offer, made.provider, made.simulated = offer.id, offer.provider, offer.simulated
        made.rules, made.terms = self._key.rules, self._terms
        if self._terms is not None:
            made.prepaid_by = self._terms.prepaid_by
        made.more_headers = self._rate_headers()
        return made

    def _rate_headers(self) -> Headers:
        grant = self._grant
        if grant is None or not grant.rates:
            return []
        return rate_headers(grant.rates, self._head.door.protocol, self._received_ms)

    # Of the connection.

    def take(self, data: bytes, start: int) -> None:
        """A whole answer with status 200, whose body starts there."""
        connection = self._connection
        if not self._is_answered(data[start:], shown_of(data[:start]), is_reused=connection.uses > 1):
            self.response = connection.whole(data, start)
            self.hand_over()

    def ended(self) -> None:
        """The answer has come in pieces, or will not come."""
        response = self.response
        assert response is not None, "it is what has ended"
        is_ordinary = response.ended and response.status == 200
        if not (is_ordinary and self._is_answered(response.body, response.headers, is_reused=response.reused)):
            self.hand_over()

    def _is_answered(self, body: bytes, headers: Headers, *, is_reused: bool) -> bool:
        """False for all that is not an ordinary answer: `run` looks at it."""
        try:
            found = self._read(body)
        except Exception:  # the request's edge: `run` answers
            self._head.log.exception("an answer could not be read on the short way", request_id=self._id)
            found = None
        if found is None:
            return False
        self._is_over = True
        seen, usage, cost, in_usd, sent = found
        started_at, started_ms, offer = self._started_at, self._started_ms, self._road.offer
        ended_at = self._gateway.clock.now_s()
        request_id, lines = _looked_at(headers, self._road.lines)
        if in_usd != NO_PRICE:
            lines = b"".join((lines, b"x-trunkline-cost: ", in_usd, b"\r\n"))
        if self._grant is not None and self._grant.rates:
            lines += b"".join([b"%b: %b\r\n" % header for header in self._rate_headers()])
        # By position, in the order of `Attempt`.
        made = Attempt(
            offer.provider,
            offer.id,
            offer.upstream_model,
            started_ms,
            started_ms + (ended_at - started_at) * 1000,
            "ok",
            200,
            "",
            None,
            None,
            usage,
            cost,
            msgspec.Raw(seen.usage),
            request_id,
            is_reused,
        )
        try:
            self._answer(lines, sent, made, ended_at)
        except Exception:  # the request's edge
            self._head.log.exception("request failed inside the gateway", request_id=self._id)
        finally:
            self._end(seen, made, ended_at, len(sent))
        return True

    def _read(self, body: bytes) -> tuple[answer.Brief, Usage, Cost, bytes, bytes] | None:
        """What was seen, what it used and costs, in USD too, and the body for the caller."""
        try:
            seen = answer.read_briefly(body)
            if seen is None:
                return None
            usage = read_usage(seen.usage)
            cost = self._snapshot.price(self._road.offer, usage, self._started_ms, seen.service_tier)
            in_usd, details = written_of(cost)
            if self._shape.include_cost:
                body = answer.put_cost(body, seen.usage, in_usd, details)
        except UNREADABLE:
            return None
        return seen, usage, cost, in_usd, body

    def _answer(self, lines: bytes, body: bytes, made: Attempt, ended_at: float) -> None:
        gateway, place, road = self._gateway, self._place, self._road
        if not place.common:
            place.common = id_lines(self._id.encode())
        place.plainly(lines, body)
        gateway.health.answered(road.offer.id, ended_at, self._started_at)
        if self._prompt_bytes >= LEAST_BYTES:
            gateway.learned.observe(road.family, self._prompt_bytes, made.usage.total_input_tokens)
        if len(self._chosen.candidates) > 1 and self._may_be_held(made):
            exchange = self._exchange()
            asked = asked_of(gateway, exchange, self._head.door, self._body)
            if asked is not None:
                note(gateway, asked, exchange, made)

    def _may_be_held(self, made: Attempt) -> bool:
        """Something that the next turn needs may be with who answered; `note` looks closely."""
        if made.usage.reasoning_tokens or self._shape.facts.needs:
            return True
        return self._prompt_bytes >= MIN_PROMPT_BYTES or self._body.find(_STATE) >= 0

    def _end(self, seen: answer.Brief, made: Attempt, ended_at: float, answer_bytes: int) -> None:
        """Make the record."""
        gateway, client, key, offer = self._gateway, self._head.client, self._key, self._road.offer
        facts, cost, received_ms, terms = self._shape.facts, made.cost, self._received_ms, self._terms
        gateway.open -= 1
        # By position, in the order of `Record`.
        record = Record(
            self._id,
            received_ms,
            received_ms + (ended_at - self._received_at) * 1000,
            "ok",
            200,
            self._head.door.protocol,
            offer.model,
            facts.model[:MAX_MODEL_NAME],
            offer.id,
            offer.provider,
            seen.answer_id,
            False,
            key.id,
            client.app_url,
            client.app_title,
            client.session_id or facts.session_id,
            client.user_agent,
            None,
            seen.finish_reason,
            "",
            "",
            made.usage,
            cost.total_pico_usd,
            cost,
            self._snapshot.catalog.version,
            len(self._body),
            answer_bytes,
            (made,),
            self._chosen.candidates,
            (),
            (),
            offer.simulated,
            "" if terms is None else terms.prepaid_by,
        )
        # Before the record can be in the store: what is summed up there is not told again.
        if gateway.accounting is not None:
            if terms is not None:
                gateway.accounting.settle(terms, record, is_claimed=self._grant is not None)
            elif cost.total_pico_usd:
                gateway.accounting.charge(record)
        gateway.sink.end(record)


def _looked_at(headers: Headers, lines: bytes) -> tuple[str, bytes]:
    """The provider's id of the call, and the header lines with those of its own that a caller may see."""
    request_id = ""
    for name, value in headers:
        if name in REQUEST_IDS:
            request_id = request_id or value[:128].decode("latin-1")
        elif name in SHOWN:
            lines += b"%b: %b\r\n" % (name, value)
    return request_id, lines
