"""One request on its way: what becomes its record. In: facts as they turn up. Out: exactly one `Record`."""

from typing import TYPE_CHECKING

import msgspec

from trunkline.accounts.types import NO_RULES, KeyRules
from trunkline.ir.loss import Loss
from trunkline.ir.usage import Usage
from trunkline.pricing.types import FREE, Cost
from trunkline.records.types import Attempt, Candidate, Record

if TYPE_CHECKING:
    from trunkline.accounts.keys import ApiKey
    from trunkline.accounts.terms import KeyTerms
    from trunkline.execution.accounting import Paying
    from trunkline.execution.capture import Capture
    from trunkline.execution.gateway import Snapshot


class Client(msgspec.Struct):
    """What a head says of who is asking: stands in the record."""

    app_url: str = ""
    app_title: str = ""
    session_id: str = ""
    user_agent: str = ""


class Exchange(msgspec.Struct, eq=False):
    """Gathers the account of one request. Lives from the first byte to the record; only `execution` writes to it."""

    id: str
    protocol: str
    received_at: float
    """Loop time, seconds."""
    received_ms: float
    key_id: str = ""
    app_url: str = ""
    app_title: str = ""
    session_id: str = ""
    user_agent: str = ""
    zero_retention: bool = False
    """Of the caller's key: nothing of the conversation goes into the store."""
    snapshot: "Snapshot | None" = None
    """Of the caller's key, where its organisation or member has keys of providers of their own."""
    rules: KeyRules = NO_RULES
    """Of the caller's key."""
    terms: "KeyTerms | None" = None
    """What the caller's key is held to; None: nothing."""
    paying: "Paying | None" = None
    """Its claim, where there are terms."""
    more_headers: list[tuple[bytes, bytes]] = []
    """Of the answer: how the key's rates stand, and notices."""
    prepaid_by: str = ""
    """The caller's organisation, where that is prepaid: its wallets pay, see `accounts.ledger`."""
    capture: "Capture | None" = None
    """Takes a copy of what goes over the wire, where the operator wants one."""
    drains: bool = False
    """An answer that is under way when the caller leaves is read to its end, within its own deadlines: it will be asked for again."""
    model: str = ""
    asked_model: str = ""
    offer: str = ""
    provider: str = ""
    answer_id: str = ""
    streamed: bool = False
    simulated: bool = False
    request_bytes: int = 0
    answer_bytes: int = 0
    outcome: str = "error"
    status: int = 500
    finish_reason: str = ""
    error_type: str = ""
    error_message: str = ""
    price_version: str = ""
    first_token_at: float | None = None
    answered_at: float | None = None
    """Where the request goes on behind the end of its answer."""
    usage: Usage = Usage()
    cost: Cost = FREE
    attempts: list[Attempt] = []
    candidates: tuple[Candidate, ...] = ()
    losses: list[Loss] = []
    notes: list[str] = []

    def record(self, ended_at: float) -> Record:
        """The account. `ended_at` is loop time; wall times are told from the one at reception, so that a clock that is set back does no harm."""
        # By position, in the order of `Record`: thirty names would take as long again.
        return Record(
            self.id,
            self.received_ms,
            self.received_ms + (ended_at - self.received_at) * 1000,
            self.outcome,
            self.status,
            self.protocol,
            self.model,
            self.asked_model,
            self.offer,
            self.provider,
            self.answer_id,
            self.streamed,
            self.key_id,
            self.app_url,
            self.app_title,
            self.session_id,
            self.user_agent,
            None if self.first_token_at is None else (self.first_token_at - self.received_at) * 1000,
            self.finish_reason,
            self.error_type,
            self.error_message,
            self.usage,
            sum([attempt.cost.total_pico_usd for attempt in self.attempts]),
            self.cost,
            self.price_version,
            self.request_bytes,
            self.answer_bytes,
            tuple(self.attempts),
            self.candidates,
            tuple(self.losses),
            tuple(self.notes),
            self.simulated,
            self.prepaid_by,
        )


def opened(id_: str, protocol: str, received_at: float, received_ms: float, client: Client, key: "ApiKey") -> Exchange:
    """Of a request whose key is good. `received_at` is loop time."""
    # By position, in the order of `Exchange`.
    return Exchange(
        id_,
        protocol,
        received_at,
        received_ms,
        key.id,
        client.app_url,
        client.app_title,
        client.session_id,
        client.user_agent,
        key.zero_retention,
    )
