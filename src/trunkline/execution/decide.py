"""What is done about an attempt that failed: the one table of causes. In: the `Failure`, and where the request stands. Out: a `Decision`. Pure.

Every route and protocol goes by it; nothing else tries anything again. There is no "the same offer once more": a kept connection that its peer had
closed is the transport's to replace (nothing of the request was taken then), and of everything else a second call may be a second bill.
"""

from enum import StrEnum

import msgspec

from trunkline.execution.failure import OF_THE_ACCOUNT, Failure
from trunkline.ir.fault import Blame


class Decision(StrEnum):
    """Words of `records.types.Attempt.decision`."""

    NEXT_OFFER = "next_offer"
    OTHER_KEY = "other_key"
    """The same offer with another of the provider's keys, before any other offer."""
    FORGETTING = "forgetting"
    """The next offer; and after all others this one again, without the reasoning of earlier turns."""
    RESCUE = "rescue"
    """The next offer of the same model that can go on from what the caller has."""
    OTHER_RUNS = "other_runs"
    """Nothing: the attempt beside it has answered."""
    TELL_CLIENT = "tell_client"
    """The provider's own words go to the caller: they are its to mend."""
    GIVE_UP = "give_up"
    """The caller gets a typed error: as the answer, or as the last event of one that has begun."""
    STOP = "stop"
    """Nobody waits any more."""


class Situation(msgspec.Struct, frozen=True):
    """Where a request stands when an attempt of it has failed."""

    committed: bool = False
    """Something useful went to the caller."""
    left: bool = False
    """The caller is gone."""
    other_answers: bool = False
    """The attempt beside it was first."""
    continuing: bool = False
    """The attempt was itself to continue an answer that had broken off."""
    forgetting: bool = False
    """It was without the reasoning of earlier turns."""
    keys_left: bool = False
    """The provider has another key that does not rest and was not tried."""
    offers_left: bool = False
    can_continue: bool = False
    """What the caller has can be continued, and one of the offers left can do that."""


class Row(msgspec.Struct, frozen=True):
    """One cause. It holds for what fits all that it names; empty means any."""

    name: str
    why: str
    before: tuple[Decision, ...]
    """In this order, the first that is possible; else `give_up`."""
    after: tuple[Decision, ...] = ()
    """The same once something useful went to the caller."""
    causes: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()
    blame: Blame | None = None
    told_wait: bool | None = None
    """Whether the provider said when to come again."""
    continuing: bool = False
    foreign_state: bool = False

    def fits(self, failure: Failure, situation: Situation) -> bool:
        """Whether it is the failure's row."""
        return (
            (not self.causes or failure.cause in self.causes)
            and (not self.statuses or failure.status in self.statuses)
            and (self.blame is None or failure.blame is self.blame)
            and (self.told_wait is None or self.told_wait == bool(failure.retry_after_s))
            and (not self.continuing or situation.continuing)
            and (not self.foreign_state or failure.is_of_foreign_state)
        )


_NEXT, _RESCUE = (Decision.NEXT_OFFER,), (Decision.RESCUE,)
_KEY = (Decision.OTHER_KEY, Decision.NEXT_OFFER)
TOLD = frozenset({"status", "in_stream_error"})
"""The provider said it: as a status, or inside an answer with status 200, where its words say which."""


def _one(cause: str) -> frozenset[str]:
    return frozenset({cause})


ROWS = (
    Row(
        "state of another account",
        "It cannot open reasoning that another account sealed. Whose it is may be next; where nobody can, better an answer without it than none ever again.",
        (Decision.FORGETTING, Decision.NEXT_OFFER),
        foreign_state=True,
    ),
    Row(
        "refused by our translation",
        "This offer's protocol has no place for something that the answer would be wrong without; another offer's may have one.",
        _NEXT,
        _RESCUE,
        causes=_one("refused"),
    ),
    Row(
        "refused continuation",
        "The caller's request was taken by the offer before: what is refused is the beginning of an answer that we have put in.",
        _NEXT,
        _RESCUE,
        causes=_one("status"),
        continuing=True,
    ),
    Row(
        "fault of the caller",
        "Every offer would refuse it, and the caller can mend it. After a beginning it is a refusal of what comes next: going on elsewhere would go round it.",
        (Decision.TELL_CLIENT,),
        causes=TOLD,
        blame=Blame.CLIENT,
    ),
    Row(
        "key, credit or access",
        "The provider refuses this key of the operator's, not the request: another key may be good, another offer does not need it.",
        _KEY,
        _RESCUE,
        causes=TOLD,
        statuses=OF_THE_ACCOUNT,
        blame=Blame.OPERATOR,
    ),
    Row(
        "unknown there",
        "Model, deployment or address are not as the catalog has them; every key of the provider would find the same.",
        _NEXT,
        _RESCUE,
        causes=TOLD,
        blame=Blame.OPERATOR,
    ),
    Row(
        "configuration",
        "An address or a credential of the operator's is missing or gives no access: nothing was sent.",
        _NEXT,
        _RESCUE,
        causes=_one("configuration"),
    ),
    Row(
        "429 with a time",
        "The limit is the key's: it rests for as long as the provider said, and another key has a limit of its own.",
        _KEY,
        _RESCUE,
        causes=TOLD,
        statuses=frozenset({429}),
        told_wait=True,
    ),
    Row(
        "429 without a time",
        "The same; the key rests for a time that grows with each refusal.",
        _KEY,
        _RESCUE,
        causes=TOLD,
        statuses=frozenset({429}),
    ),
    Row(
        "408, 409 and 424",
        "It gave up waiting, or something is in its way there: nothing is wrong with the request.",
        _NEXT,
        _RESCUE,
        causes=TOLD,
        statuses=frozenset({408, 409, 424}),
    ),
    Row(
        "529",
        "The vendor is overloaded for everyone (https://platform.claude.com/docs/en/api/errors): no key of it would do better.",
        _NEXT,
        _RESCUE,
        causes=TOLD,
        statuses=frozenset({529}),
    ),
    Row("5xx", "The provider is broken or busy.", _NEXT, _RESCUE, causes=_one("status")),
    Row(
        "error in the answer",
        "The provider broke after it had said 200; before anything useful came, that is as good as a 5xx.",
        _NEXT,
        _RESCUE,
        causes=_one("in_stream_error"),
    ),
    Row("no connection", "Nobody listens, or no name: nothing was sent.", _NEXT, _RESCUE, causes=_one("connect")),
    Row(
        "TLS",
        "Its certificate is not good, now and in a second try: nothing was sent.",
        _NEXT,
        _RESCUE,
        causes=_one("tls"),
    ),
    Row(
        "no connection in time",
        "The host is deaf or far: nothing was sent, and the others are near.",
        _NEXT,
        _RESCUE,
        causes=_one("timeout_connect"),
    ),
    Row(
        "no first event in time",
        "It may still think, and will bill for it; the caller has waited for as long as this offer may take.",
        _NEXT,
        _RESCUE,
        causes=_one("timeout_first_event"),
    ),
    Row(
        "stall between events",
        "A stream that has begun and then is silent seldom comes back.",
        _NEXT,
        _RESCUE,
        causes=_one("timeout_idle"),
    ),
    Row(
        "caller too slow",
        "It did not take the answer for as long as an answer may take. Another provider would write to the same caller.",
        (),
        causes=_one("client_slow"),
    ),
    Row(
        "not whole in time",
        "A slow offer is slow in a second try; another need not be. What a stream gave by then is kept.",
        _NEXT,
        _RESCUE,
        causes=_one("timeout_total"),
    ),
    Row(
        "reset",
        "It took the request and broke the connection before an answer. It may be down, so it is not asked again.",
        _NEXT,
        _RESCUE,
        causes=_one("reset"),
    ),
    Row("truncated", "The connection ended inside the answer.", _NEXT, _RESCUE, causes=_one("truncated")),
    Row(
        "malformed",
        "Not the protocol's JSON, events or content type: a proxy's page, a broken server.",
        _NEXT,
        _RESCUE,
        causes=_one("malformed"),
    ),
    Row(
        "empty",
        "It ended well and said nothing: no answer for anyone.",
        _NEXT,
        _RESCUE,
        causes=_one("empty"),
    ),
    Row("anything else", "Whatever it is, it is this attempt's.", _NEXT, _RESCUE),
)
"""The first row that fits counts."""


def decide(failure: Failure, situation: Situation) -> Decision:
    """What is done now."""
    if situation.left:
        return Decision.STOP
    if situation.other_answers:
        return Decision.OTHER_RUNS
    row = row_of(failure, situation)
    for wish in row.after if situation.committed else row.before:
        if _is_possible(wish, situation):
            return wish
    return Decision.GIVE_UP


def row_of(failure: Failure, situation: Situation) -> Row:
    """The cause that a failure is of."""
    return next(row for row in ROWS if row.fits(failure, situation))


def _is_possible(wish: Decision, situation: Situation) -> bool:
    if wish is Decision.NEXT_OFFER:
        return situation.offers_left
    if wish is Decision.OTHER_KEY:
        return situation.keys_left
    if wish is Decision.FORGETTING:
        return not situation.forgetting
    return wish is not Decision.RESCUE or situation.can_continue
