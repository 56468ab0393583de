"""Probes: tiny requests of ours to offers that had no traffic for a while, within a budget, so that routing knows them. Off unless `[routing] probes` is set.

In: the gateway, and records as they are stored. Out: requests through `execution.run` like any other, whose records say `probe`; health learns of them as of
any attempt. Only offers of models that somebody asked for within a day: what nobody uses need not be known.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from trunkline.catalog.types import Offer
from trunkline.execution.asked import Door
from trunkline.execution.exchange import Exchange
from trunkline.execution.gateway import Gateway
from trunkline.execution.respond import Headers, Reply
from trunkline.execution.run import begin, run
from trunkline.protocols.codec import CHAT
from trunkline.records.types import Intent, Kept, Record, RecordSink
from trunkline.routing.rating import rates

SESSION = "probe"
LOOK_S = 5.0
USED_WITHIN_S = 86_400.0
AT_ONCE = 4
PROMPT = "Say OK."
PROMPT_TOKENS = 16
ANSWER_TOKENS = 16
"""Some vendors take no less (https://platform.openai.com/docs/api-reference/responses/create)."""
THINKING_TOKENS = 256
"""For models that reason, which may say nothing visible before."""
_MICRO = 1e-6
_PICO_PER_USD = 1e12


class ProbePolicy(msgspec.Struct, frozen=True):
    """The operator's `[routing] probes`."""

    every_s: float
    budget_usd_per_day: float


class Probes:
    """Lives as long as the process. `see` is called in the record writer's thread, all else in the event loop."""

    def __init__(self, gateway: Gateway, log: Any) -> None:
        self._gateway = gateway
        self._log = log
        self._policy: ProbePolicy | None = None
        self._heard_s: dict[str, float] = {}
        """Offer -> when it last had an attempt, ours or a caller's, by the gateway's clock."""
        self._used_s: dict[str, float] = {}
        """Model -> when a caller last asked for it."""
        self._day = ""
        self._spent_usd = 0.0

    def take_over(self, policy: ProbePolicy | None) -> None:
        """From now on by these rules; None: no probes."""
        self._policy = policy

    def see(self, records: Sequence[Record]) -> None:
        """Take in what was stored."""
        now_s = self._gateway.clock.now_s()
        for record in records:
            for attempt in record.attempts:
                self._heard_s[attempt.offer] = now_s
            if record.session_id != SESSION and record.provider:
                self._used_s[record.model] = now_s

    async def keep_going(self, sleep: Callable[[float], Any] = asyncio.sleep) -> None:
        """Look again and again for offers that are due, until cancelled."""
        while True:
            await sleep(LOOK_S)
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - a background loop: whatever goes wrong, it looks again
                self._log.exception("probes failed")

    async def look(self) -> int:
        """Probe what is due, a few at a time; how many it was."""
        due = self.due()
        for first in range(0, len(due), AT_ONCE):
            await asyncio.gather(*[self.probe(offer) for offer in due[first : first + AT_ONCE]])
        return len(due)

    def due(self) -> list[Offer]:
        """Offers to be probed now: long silent, or with a breaker that wants to know; as many as the day's budget has room for."""
        policy, gateway = self._policy, self._gateway
        if policy is None:
            return []
        now_s, today = gateway.clock.now_s(), gateway.clock.today()
        if today != self._day:
            self._day, self._spent_usd = today, 0.0
        left_usd = policy.budget_usd_per_day - self._spent_usd
        found = []
        for slug, used_s in list(self._used_s.items()):
            model = gateway.snapshot.catalog.models.get(slug)
            if model is None or now_s - used_s > USED_WITHIN_S:
                del self._used_s[slug]
                continue
            for offer in gateway.snapshot.callable_offers(model, today):
                cost_usd = self._estimate_usd(offer)
                if cost_usd is None or cost_usd > left_usd or not self._is_due(offer, now_s, policy.every_s):
                    continue
                left_usd -= cost_usd
                found.append(offer)
        return found

    async def probe(self, offer: Offer) -> None:
        """One request to one offer, with a record of its own."""
        gateway, clock = self._gateway, self._gateway.clock
        self._heard_s[offer.id] = clock.now_s()
        sink = _Marking(gateway.sink, self._bill)
        own = replace(gateway, sink=sink, open=0)
        exchange = Exchange(clock.new_id(), CHAT, clock.now_s(), clock.unix_ms())
        exchange.session_id = SESSION
        reply = Reply(Nobody(), exchange.id, asyncio.get_running_loop())
        begin(own, exchange)
        await run(own, exchange, reply, Door(CHAT), self._body(offer), self._log)

    def _is_due(self, offer: Offer, now_s: float, every_s: float) -> bool:
        known = self._gateway.health.figures(offer.id, now_s)
        if known.rest_s > 0 or known.breaker == "open" or known.in_flight:
            return False
        return known.breaker == "half_open" or now_s - self._heard_s.get(offer.id, float("-inf")) >= every_s

    def _estimate_usd(self, offer: Offer) -> float | None:
        """The most that a probe costs. None where that is not known, unless it runs on this machine."""
        known = rates(offer).blended
        if known is None:
            return 0.0 if self._gateway.snapshot.account(offer.provider).provider.local else None
        # The blended price is of three parts prompt to one part answer; an answer is at most four times that.
        return known * (PROMPT_TOKENS + 4 * self._tokens(offer)) * _MICRO

    def _tokens(self, offer: Offer) -> int:
        return THINKING_TOKENS if self._gateway.snapshot.catalog.models[offer.model].reasoning else ANSWER_TOKENS

    def _body(self, offer: Offer) -> bytes:
        asked: dict[str, Any] = {
            "model": offer.id,
            "messages": [{"role": "user", "content": PROMPT}],
            "max_completion_tokens": self._tokens(offer),
            "stream": True,
            "provider": {"allow_fallbacks": False},
        }
        return msgspec.json.encode(asked)

    def _bill(self, record: Record) -> None:
        self._spent_usd += record.cost_pico_usd / _PICO_PER_USD


class Nobody:
    """A caller that takes everything and is not there."""

    def __init__(self) -> None:
        self.common = b""
        self.on_left: Callable[[], None] | None = None

    @property
    def is_full(self) -> bool:
        """Never."""
        return False

    def room(self) -> "asyncio.Future[None]":
        """Done."""
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Take it."""

    def start(self, status: int, headers: Headers, first: bytes = b"") -> None:
        """Take it."""

    def send(self, data: bytes) -> bool:
        """Take it."""
        del data
        return False

    def end(self) -> None:
        """Take it."""


class _Marking:
    """A sink that marks attempts as probes, for one request."""

    def __init__(self, sink: RecordSink, bill: Callable[[Record], None]) -> None:
        self._sink = sink
        self._bill = bill

    def intend(self, intent: Intent) -> None:
        self._sink.intend(intent)

    def end(self, record: Record) -> None:
        attempts = tuple([msgspec.structs.replace(attempt, kind="probe") for attempt in record.attempts])
        marked = msgspec.structs.replace(record, attempts=attempts)
        self._bill(marked)
        self._sink.end(marked)

    def keep(self, kept: Kept) -> int:
        return self._sink.keep(kept)

    def forget(self, key: str) -> int:
        return self._sink.forget(key)

    @property
    def durable_changes(self) -> int:
        return self._sink.durable_changes

    @property
    def is_full(self) -> bool:
        return self._sink.is_full

    async def room(self) -> None:
        await self._sink.room()
