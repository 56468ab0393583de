"""Learns the shapes of requests. In: a request that was answered. Out: in the snapshot's `Shapes`, what the next one of its kind has in common with it."""

from trunkline.accounts.types import NO_RULES, KeyRules
from trunkline.catalog.types import Offer
from trunkline.errors import RequestError
from trunkline.execution.asked import Asked
from trunkline.execution.gateway import Gateway, RememberedPlan, Snapshot
from trunkline.execution.keys import Key
from trunkline.execution.planning import remembered
from trunkline.execution.quotes import Quotes
from trunkline.execution.shapes import MESSAGES, Road, Shape
from trunkline.execution.transport.client import HttpTransport
from trunkline.execution.transport.pool import Pool
from trunkline.execution.transport.types import UpstreamRequest
from trunkline.execution.ways import ChatWay, way
from trunkline.execution.worst import bounds_of
from trunkline.ir.wish import NO_WISH
from trunkline.protocols.codec import CHAT
from trunkline.protocols.openai_chat.measure import text_bytes
from trunkline.providers.accounts import Account, endpoint
from trunkline.providers.surfaces import PLAIN
from trunkline.routing.types import Step

_DAY_MS = 86_400_000
MAX_BODY_BYTES = 64 * 1024
"""Of longer ones the copying costs more than all that is saved."""
MAX_AROUND_BYTES = 8 * 1024
"""What stands around the messages is kept for each shape, and for each offer once more."""


def learn_shape(
    gateway: Gateway, snapshot: Snapshot, asked: Asked, step: Step, key: Key, rules: KeyRules = NO_RULES
) -> None:
    """Take in a request that was answered by the step's offer. The second of its kind is remembered. `rules` are the caller's key's."""
    facts, body = asked.facts, asked.body
    if (
        step.max_output_tokens is not None
        or facts.protocol != CHAT
        or facts.stream
        or asked.has_state
        or facts.wish is not NO_WISH
        or key.name
    ):
        return
    if len(body) > MAX_BODY_BYTES:
        return
    cut = _cut(asked)
    if cut is None:
        return
    before, after = cut
    shapes = snapshot.shapes.under(rules)
    shape = shapes.of(before, after)
    from_ms = gateway.clock.unix_ms() // _DAY_MS * _DAY_MS
    if shape is None or shape.from_ms != from_ms or shape.known is not remembered(gateway, snapshot, facts, rules):
        if not shapes.is_seen_again(before, after):
            return
        made = _shape(gateway, snapshot, asked, after, from_ms, rules)
        if made is None:
            return
        shapes.keep(before, made)
        shape = made
    road = _road(gateway, snapshot, asked, step, key)
    if road is not None:
        shape.roads[step.offer.id] = road


def _cut(asked: Asked) -> tuple[bytes, bytes] | None:
    """What stands around the messages; None where they cannot be told apart for sure."""
    body, messages = asked.body, bytes(asked.fields["messages"])
    start = body.find(messages)
    before, after = body[:start], body[start + len(messages) :]
    beside = before + after
    # A key may stand twice, or be written with escapes: then which one counts would depend on what is between.
    is_plain = beside.count(MESSAGES) == 1 and b"\\u" not in beside and before.rstrip().endswith(MESSAGES + b":")
    is_plain = is_plain and messages[:1] == b"[" and len(beside) <= MAX_AROUND_BYTES
    return (before, after) if is_plain else None


def _shape(
    gateway: Gateway, snapshot: Snapshot, asked: Asked, after: bytes, from_ms: float, rules: KeyRules
) -> Shape | None:
    facts = asked.facts
    known = remembered(gateway, snapshot, facts, rules)
    inside = text_bytes(asked.fields["messages"])
    if known is None or inside is None:
        return None
    include = snapshot.policy.include_cost if facts.include_cost is None else facts.include_cost
    made = Shape(after, facts, facts.prompt_bytes - inside, from_ms, from_ms + _DAY_MS, known, include)
    made.quotes = _quotes(gateway, asked, known)
    return made


def _quotes(gateway: Gateway, asked: Asked, known: RememberedPlan) -> Quotes | None:
    """Of the first model's offers; models to fall back to are claimed for when they are reached."""
    accounting, found = gateway.accounting, known.eligible
    if accounting is None:
        return None
    try:
        bounds = bounds_of(asked, len(asked.body), accounting.ceilings)
    except RequestError:
        # A tool without a bound, which the long way refuses where there is a budget.
        return None
    steps = [step for step in found.steps if step.offer.model == found.model.slug]
    return Quotes(bounds, found.model, steps, accounting.ceilings, gateway.clock.today())


def _road(gateway: Gateway, snapshot: Snapshot, asked: Asked, step: Step, key: Key) -> Road | None:
    """None where a request to the offer is not made of these bytes alone."""
    offer = step.offer
    account = snapshot.account(offer.provider)
    taken = way(asked, step, account, snapshot, "", 0, forgetting=False)
    if (
        step.shown_model
        or type(taken) is not ChatWay
        or account.credential is not None
        or len(account.keys) > 1
        or step.emulated
    ):
        return None
    sent = taken.sent()
    around = _around(sent.body, bytes(asked.fields["messages"]))
    reached = _reached(gateway, account, offer, key)
    if sent.losses or around is None or reached is None:
        return None
    pool, head = reached
    lines = b"content-type: application/json\r\nx-trunkline-provider: %b\r\n" % offer.provider.encode()
    before, after = around
    family, around_bytes = offer.model.partition("/")[0], len(before) + len(after)
    return Road(step, offer, key, pool, head, before, after, lines, family, around_bytes, offer.deadlines.total_s)


def _around(sent: bytes, messages: bytes) -> tuple[bytes, bytes] | None:
    start = sent.find(MESSAGES + b":" + messages)
    if start < 0 or sent.count(messages) != 1:
        return None
    start += len(MESSAGES) + 1
    return sent[:start], sent[start + len(messages) :]


def _reached(gateway: Gateway, account: Account, offer: Offer, key: Key) -> tuple[Pool, bytes] | None:
    transport = gateway.transport(account)
    where = endpoint(account, offer, CHAT, key.secret, stream=False)
    if type(transport) is not HttpTransport or where.surface is not PLAIN:
        return None
    pool = transport.pool(where.origin)
    if pool is None:
        return None
    return pool, pool.heads.before_length(UpstreamRequest(where.origin, b"POST", where.target, where.headers, b""))
