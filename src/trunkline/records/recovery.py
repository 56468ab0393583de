"""After a crash: every intent without an end becomes one `interrupted` record. In: the store's batch. Out: the records made.

The rule of charging: what the request had reserved, no more. The provider may have worked for it and nobody saw the bill, so
the amount is flagged as estimated. Run before the writer starts and while no other process writes (`storage.writer_claim`).
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost, CostLine
from trunkline.records.types import Attempt, Intent, Record

_PICO = Decimal(10) ** 12
NOTE = (
    "interrupted: the gateway stopped before this request ended; charged is the amount it had reserved, as an estimate"
)


class RecoverableStore(Protocol):
    """What recovery needs of a store: its open intents, and a write that inserts and deletes in one transaction."""

    def open_intents(self) -> list[Intent]: ...

    def payers(self, key_ids: Iterable[str]) -> Mapping[str, str]:
        """Key -> the prepaid organisation that pays for it."""
        ...

    def write(self, records: Sequence[Record], intents: Sequence[Intent], ended: Sequence[str]) -> None: ...


def recover(store: RecoverableStore, now_ms: float) -> list[Record]:
    """Close all open intents. Running it again finds nothing; a record that is there already is left as it is."""
    intents = store.open_intents()
    if not intents:
        return []
    payers = store.payers(intent.key_id for intent in intents)
    interrupted = [close_interrupted(intent, now_ms, payers.get(intent.key_id, "")) for intent in intents]
    store.write(interrupted, [], [intent.id for intent in intents])
    return interrupted


def close_interrupted(intent: Intent, now_ms: float, prepaid_by: str = "") -> Record:
    """The record of a request of which only the intent is left. `now_ms` is the time of finding it."""
    cost = _reserved_cost(intent.reserved_pico_usd)
    attempt = Attempt(
        provider=intent.provider,
        offer=intent.offer,
        upstream_model="",
        started_ms=intent.started_ms,
        ended_ms=now_ms,
        outcome="interrupted",
        usage=Usage(estimated=True),
        cost=cost,
    )
    return Record(
        id=intent.id,
        received_ms=intent.started_ms,
        ended_ms=now_ms,
        outcome="interrupted",
        status=0,
        protocol=intent.protocol,
        model=intent.model,
        offer=intent.offer,
        provider=intent.provider,
        key_id=intent.key_id,
        usage=Usage(estimated=True),
        cost_pico_usd=cost.total_pico_usd,
        cost=cost,
        attempts=(attempt,),
        notes=(NOTE,),
        prepaid_by=prepaid_by,
    )


def _reserved_cost(reserved_pico_usd: int) -> Cost:
    if reserved_pico_usd <= 0:
        return Cost(estimated=True)
    line = CostLine(
        item="request",
        quantity=1,
        unit="perCount",
        value=f"{(Decimal(reserved_pico_usd) / _PICO).normalize():f}",
        amount_pico_usd=reserved_pico_usd,
    )
    return Cost(lines=(line,), total_pico_usd=reserved_pico_usd, estimated=True)
