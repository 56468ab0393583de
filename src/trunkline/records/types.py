"""`Record`, `Attempt` and `Intent`: written once, never updated. `Kept`: the newest counts. Times are Unix milliseconds in floats; money is pico-USD."""

from typing import Literal, Protocol

import msgspec

from trunkline.ir.loss import Loss
from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One upstream call of a request."""

    provider: str
    offer: str
    upstream_model: str
    started_ms: float
    ended_ms: float = 0.0
    outcome: str = "ok"
    """`ok`, or the cause of the failure: `connect`, `tls`, `timeout_connect`, `timeout_first_event`, `timeout_idle`, `timeout_total`, `reset`,
    `truncated`, `malformed`, `empty`, `in_stream_error`, `status` (see `status`), `client_left`, `interrupted` (by a stop of the gateway: it
    says nothing about the provider), `internal` (a fault of ours), `configuration`, `refused` (by us: the offer's protocol has no place for
    something that the answer would be wrong without), `lost` (the attempt beside it answered first), `client_slow` (the caller did
    not take the answer in the time that it may take: it says nothing about the provider)."""
    status: int = 0
    message: str = ""
    first_token_ms: float | None = None
    """From request sent to the first text, reasoning or tool delta (streams only), a duration."""
    last_token_ms: float | None = None
    """From request sent to the last delta, a duration."""
    usage: Usage = Usage()
    cost: Cost = Cost()
    raw_usage: msgspec.Raw = msgspec.Raw(b"null")
    upstream_request_id: str = ""
    reused_connection: bool = False
    protocol: str = "openai.chat"
    """The one that was spoken with the provider."""
    kind: Literal["plain", "hedge", "rescue", "probe"] = "plain"
    """Why it was made: a `hedge` beside a silent one, a `rescue` of a stream that broke, a `probe` of ours."""
    key: str = ""
    """Which of the provider's keys: `#2` is the second. Never the key."""
    decision: str = ""
    """What was done about its failure, see `execution.decide`."""
    after_leaving: Literal["", "cancelled", "drained"] = ""
    """What became of it when the caller had left, or another attempt had answered."""
    tool_calls: int = 0
    """That the answer made."""
    tool_errors: int = 0
    """Of these, with arguments that are no JSON object."""
    told_status: int = 0
    """Which the error inside an answer with status 200 means (`in_stream_error`)."""


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An offer that the plan looked at: taken at `rank`, or excluded; `reason` says why in words."""

    offer: str
    rank: int | None = None
    reason: str = ""


class Charge(msgspec.Struct, frozen=True, gc=False):
    """What a request took from a wallet. `wallet` is empty where its organisation had none."""

    wallet: str
    amount_pico_usd: int


class Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The account of one request, whatever became of it."""

    id: str
    """Our request id, `req_...`."""
    received_ms: float
    ended_ms: float
    outcome: str
    """`ok`, `error` (answered with an error), `client_left`, `cut` (ended inside a stream), `interrupted` (found after a crash)."""
    status: int
    protocol: str
    model: str
    """The model asked for, as a slug where it is known."""
    asked_model: str = ""
    offer: str = ""
    provider: str = ""
    answer_id: str = ""
    """The provider's own id of the answer, e.g. `chatcmpl-...`."""
    streamed: bool = False
    key_id: str = ""
    app_url: str = ""
    app_title: str = ""
    session_id: str = ""
    user_agent: str = ""
    first_token_ms: float | None = None
    """From received to the first text, reasoning or tool delta that went to the client, a duration."""
    finish_reason: str = ""
    error_type: str = ""
    error_message: str = ""
    usage: Usage = Usage()
    """Of the answer that the client got."""
    cost_pico_usd: int = 0
    """Of all attempts."""
    cost: Cost = Cost()
    """The itemised bill of the answer; the attempts have theirs."""
    price_version: str = ""
    request_bytes: int = 0
    answer_bytes: int = 0
    attempts: tuple[Attempt, ...] = ()
    plan: tuple[Candidate, ...] = ()
    losses: tuple[Loss, ...] = ()
    notes: tuple[str, ...] = ()
    """E.g. `observer failed: ...`."""
    simulated: bool = False
    prepaid_by: str = ""
    """The organisation whose wallets pay for it."""
    charges: tuple[Charge, ...] = ()
    """The cost by wallet, where it is prepaid. The writer sets it, with the wallets as they are when the record is stored."""


class Intent(msgspec.Struct, frozen=True, gc=False):
    """An attempt that is about to be sent. One without an end, found at start, becomes an `interrupted` record."""

    id: str
    """The request's id."""
    started_ms: float
    protocol: str
    model: str
    offer: str
    provider: str
    key_id: str
    reserved_pico_usd: int = 0


class Kept(msgspec.Struct, frozen=True, gc=False):
    """What a later request may ask for again. The newest of a `key` counts. The store encrypts `data`; it is in no repr, so in no log."""

    key: str
    kind: Literal["state", "response", "answer", "body"]
    key_id: str
    """The API key whose it is; empty for states, which belong to the account."""
    created_ms: int
    expires_ms: int
    data: bytes

    def __repr__(self) -> str:
        return f"Kept({self.kind} {self.key!r}, {len(self.data)} bytes)"


class Forgotten(msgspec.Struct, frozen=True, gc=False):
    """The end of what was kept under a key."""

    key: str


class RecordSink(Protocol):
    """Where records go. `intend`, `end`, `keep` and `forget` never wait; `room` does, while `is_full`: both are asked before a request is taken."""

    def intend(self, intent: Intent) -> None: ...

    def end(self, record: Record) -> None: ...

    def keep(self, kept: Kept) -> int:
        """The running number of this change: it is durable once `durable_changes` has come as far."""
        ...

    def forget(self, key: str) -> int:
        """The same."""
        ...

    @property
    def durable_changes(self) -> int: ...

    @property
    def is_full(self) -> bool: ...

    async def room(self) -> None: ...
