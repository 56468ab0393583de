"""The short way: a request of a known shape to an offer that is connected, without a task of its own. In: a body. Out: the answer, and one record.

Nothing is decided here. Whatever is not as it mostly is (no kept connection, a status, an error, a caller that leaves, a stop) goes to `run`, which takes
the attempt over as it stands: `Begun`.
"""

from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol

import msgspec

from trunkline.errors import RequestError
from trunkline.execution.affinity import MIN_PROMPT_BYTES, note
from trunkline.execution.asked import Door, asked_of
from trunkline.execution.begun import Begun
from trunkline.execution.bill import NO_PRICE, written_of
from trunkline.execution.exchange import Exchange
from trunkline.execution.explain import told
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.execution.learning import DAY_MS, MAX_BODY_BYTES
from trunkline.execution.planning import MAX_MODEL_NAME, best, in_order
from trunkline.execution.respond import Reply
from trunkline.execution.run import end, run
from trunkline.execution.shapes import Road, Shape
from trunkline.execution.transport.exchange import Exchange as Response
from trunkline.execution.upstream import REQUEST_IDS, SHOWN, shown_of
from trunkline.protocols.codec import CHAT
from trunkline.protocols.openai_chat import answer
from trunkline.protocols.openai_chat.measure import text_bytes
from trunkline.protocols.openai_chat.usage import read_usage
from trunkline.protocols.rawjson import UNREADABLE
from trunkline.records.types import Attempt, Intent
from trunkline.routing.health import Sample
from trunkline.routing.tokens import LEAST_BYTES

_SEALED = b'"tl1'
_STATE = b'"reasoning_details"'
_MAX_NESTED = 500
"""Values inside values have an end, which is nearer for a whole body than for its messages alone; so far from it no reader is."""


class Place(Protocol):
    """Where an answer is made: an `api.call.Call`."""

    on_stop: Any

    def plainly(self, lines: bytes, body: bytes) -> None:
        """Answer with status 200, header lines and a body."""
        ...

    def go_on(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the rest in a task."""
        ...


def begin_plainly(
    gateway: Gateway, exchange: Exchange, reply: Reply, place: Place, door: Door, body: bytes, log: Any
) -> bool:
    """Send the request, if it is one of those. False: nothing was done."""
    if exchange.terms is not None or len(body) > MAX_BODY_BYTES:
        return False
    snapshot = exchange.snapshot or gateway.snapshot
    found = snapshot.shapes.find(body)
    if found is None or gateway.captures is not None or gateway.sink.is_full:
        return False
    shape, messages = found
    known, size = shape.known, text_bytes(messages)
    if size is None or shape.day != exchange.received_ms // DAY_MS or messages.find(_SEALED) >= 0:
        return False
    if messages.count(b"[") + messages.count(b"{") > _MAX_NESTED:
        return False
    prompt_bytes = shape.beside_bytes + size
    if prompt_bytes > known.eligible.sure_bytes:
        return False
    try:
        ranked = in_order(gateway, known)
    except RequestError:
        return False
    if len(ranked.rated) > 1 and (prompt_bytes >= MIN_PROMPT_BYTES or messages.find(_STATE) >= 0):
        # Where its conversation is held counts more than chance.
        return False
    chosen = ranked.plan(ranked.pick(gateway.chance if snapshot.policy.spread else best))
    offer = chosen.steps[0].offer
    road = shape.roads.get(offer.id)
    if road is None or road.step is not chosen.steps[0]:
        return False
    started_at, deadlines = gateway.clock.now_s(), offer.deadlines
    connection = road.pool.take(started_at)
    if connection is None:
        return False
    facts, started_ms = shape.facts, gateway.clock.unix_ms()
    exchange.snapshot = snapshot
    exchange.request_bytes = len(body)
    exchange.asked_model, exchange.model = facts.model[:MAX_MODEL_NAME], offer.model
    exchange.session_id = exchange.session_id or facts.session_id
    exchange.candidates = chosen.candidates
    exchange.offer, exchange.provider, exchange.simulated = offer.id, offer.provider, offer.simulated
    token = gateway.health.begin(offer.id, started_at)
    gateway.sink.intend(
        Intent(exchange.id, started_ms, exchange.protocol, offer.model, offer.id, offer.provider, exchange.key_id)
    )
    sent = b"".join(
        (
            road.head,
            b"%d\r\n\r\n" % (len(road.before) + len(messages) + len(road.after)),
            road.before,
            messages,
            road.after,
        )
    )
    total_s = deadlines.total_s
    under_way = Plain(gateway, snapshot, exchange, reply, place, door, body, log, shape, prompt_bytes, road)
    response = connection.begin_plainly(sent, total_s, total_s, started_at + total_s, under_way.ended)
    under_way.begun = Begun(chosen, road.key, response, started_at, started_ms, token)
    reply.watch(under_way.hand_over)
    place.on_stop = under_way.hand_over
    return True


class Plain(msgspec.Struct, eq=False):
    """One request under way. Lives from its sending to its answer, or until `run` takes over."""

    _gateway: Gateway
    _snapshot: Snapshot
    _exchange: Exchange
    _reply: Reply
    _place: Place
    _door: Door
    _body: bytes
    _log: Any
    _shape: Shape
    _prompt_bytes: int
    _road: Road
    begun: Begun | None = None

    def hand_over(self) -> None:
        """To `run`, which knows what to do. Nothing was told to the caller yet. A caller may leave before the task of `run` has begun to watch it."""
        begun, self.begun = self.begun, None
        if begun is None:
            return
        begun.response.on_end = None
        self._place.on_stop = None
        self._reply.told = partial(told, self._exchange, False)
        work = run(self._gateway, self._exchange, self._reply, self._door, self._body, self._log, begun=begun)
        self._place.go_on(work)

    def ended(self) -> None:
        """The answer has come, or will not."""
        log, exchange = self._log, self._exchange
        try:
            found = self._read()
        except Exception:  # the request's edge: `run` answers
            log.exception("an answer could not be read on the short way", request_id=exchange.id)
            found = None
        if found is None:
            self.hand_over()
            return
        try:
            self._answer(*found)
        except Exception:  # the request's edge
            log.exception("request failed inside the gateway", request_id=exchange.id)
        finally:
            end(self._gateway, exchange, self._reply)

    def _read(self) -> tuple[answer.Answer, Attempt, bytes, bytes] | None:
        """What was seen, the attempt, header lines and body for the caller; None for all that is not an ordinary answer."""
        begun, road = self.begun, self._road
        assert begun is not None, "nothing comes before it was sent"
        response, offer, started_ms = begun.response, road.offer, begun.started_ms
        if not response.ended or response.status != 200 or self._reply.left:
            return None
        body = response.body
        try:
            seen = answer.read_briefly(body)
            if seen is None or seen.usage is None:
                return None
            raw = seen.usage
            usage = read_usage(raw)
            cost = self._snapshot.price(offer, usage, started_ms, seen.service_tier)
            in_usd, details = written_of(cost)
            if self._shape.include_cost:
                body = answer.put_cost(body, raw, in_usd, details)
        except UNREADABLE:
            return None
        request_id, lines = _looked_at(response, road.lines)
        if in_usd != NO_PRICE:
            lines += b"x-trunkline-cost: %b\r\n" % in_usd
        # By position, in the order of `Attempt`.
        made = Attempt(
            offer.provider,
            offer.id,
            offer.upstream_model,
            started_ms,
            started_ms + (self._gateway.clock.now_s() - begun.started_at) * 1000,
            "ok",
            200,
            "",
            None,
            None,
            usage,
            cost,
            msgspec.Raw(raw),
            request_id,
            response.reused,
            CHAT,
            "plain",
            "",
            "",
            "",
            *seen.tool_calls,
        )
        return seen, made, lines, body

    def _answer(self, seen: answer.Answer, made: Attempt, lines: bytes, body: bytes) -> None:
        exchange, gateway, road = self._exchange, self._gateway, self._road
        begun, self.begun = self.begun, None
        assert begun is not None, "nothing comes before it was sent"
        self._place.on_stop = None
        exchange.outcome, exchange.status = "ok", 200
        exchange.usage, exchange.cost = made.usage, made.cost
        exchange.finish_reason, exchange.answer_id = seen.finish_reason, seen.answer_id
        exchange.attempts.append(made)
        self._reply.is_answered(len(body))
        self._place.plainly(lines, body)
        ended_at = begun.started_at + (made.ended_ms - made.started_ms) / 1000
        gateway.health.observe(road.offer.id, Sample(ended_at, True, began_s=begun.started_at), begun.token)
        if self._prompt_bytes >= LEAST_BYTES:
            gateway.learned.observe(road.family, self._prompt_bytes, made.usage.total_input_tokens)
        if len(exchange.candidates) > 1 and self._may_be_held(made):
            asked = asked_of(gateway, exchange, self._door, self._body)
            if asked is not None:
                note(gateway, asked, exchange, made)

    def _may_be_held(self, made: Attempt) -> bool:
        """Something that the next turn needs may be with who answered; `note` looks closely."""
        if made.usage.reasoning_tokens or self._shape.facts.needs:
            return True
        return self._prompt_bytes >= MIN_PROMPT_BYTES or self._body.find(_STATE) >= 0


def _looked_at(response: Response, lines: bytes) -> tuple[str, bytes]:
    """The provider's id of the call, and the header lines with those of its own that a caller may see."""
    request_id = ""
    for name, value in response.headers or shown_of(response.raw_head):
        if name in REQUEST_IDS:
            request_id = request_id or value[:128].decode("latin-1")
        elif name in SHOWN:
            lines += b"%b: %b\r\n" % (name, value)
    return request_id, lines
