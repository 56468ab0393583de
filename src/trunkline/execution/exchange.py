"""One request on its way: what becomes its record. In: facts as they turn up. Out: exactly one `Record`."""

from typing import TYPE_CHECKING

from trunkline.ir.loss import Loss
from trunkline.ir.usage import Usage
from trunkline.pricing.types import FREE, Cost
from trunkline.records.types import Attempt, Candidate, Record

if TYPE_CHECKING:
    from trunkline.execution.capture import Capture


class Exchange:
    """Gathers the account of one request. Lives from the first byte to the record; only `execution` writes to it."""

    __slots__ = (
        "answer_bytes", "answer_id", "answered_at", "app_title", "app_url", "asked_model", "attempts", "candidates", "capture", "cost", "drains",
        "error_message", "error_type", "finish_reason", "first_token_at", "id", "key_id", "losses", "model", "notes", "offer", "outcome", "price_version",
        "protocol", "provider", "received_at", "received_ms", "request_bytes", "session_id", "simulated", "status", "streamed", "usage",
        "user_agent", "zero_retention",
    )  # fmt: skip

    def __init__(self, request_id: str, protocol: str, received_at: float, received_ms: float) -> None:
        self.id = request_id
        self.protocol = protocol
        self.received_at = received_at
        """Loop time, seconds."""
        self.received_ms = received_ms
        self.key_id = self.app_url = self.app_title = self.session_id = self.user_agent = ""
        self.model = self.asked_model = self.offer = self.provider = self.answer_id = ""
        self.streamed = self.simulated = False
        self.zero_retention = False
        """Of the caller's key: nothing of the conversation goes into the store."""
        self.drains = False
        """An answer that is under way when the caller leaves is read to its end, within its own deadlines: it will be asked for again."""
        self.capture: Capture | None = None
        """Takes a copy of what goes over the wire, where the operator wants one."""
        self.request_bytes = self.answer_bytes = 0
        self.outcome, self.status = "error", 500
        self.finish_reason = self.error_type = self.error_message = self.price_version = ""
        self.first_token_at: float | None = None
        self.answered_at: float | None = None
        """Where the request goes on behind the end of its answer."""
        self.usage: Usage = Usage()
        self.cost: Cost = FREE
        self.attempts: list[Attempt] = []
        self.candidates: tuple[Candidate, ...] = ()
        self.losses: list[Loss] = []
        self.notes: list[str] = []

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
        )
