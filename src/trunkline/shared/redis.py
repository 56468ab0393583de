"""Shared state of an installation of several processes, in Redis or Valkey. In: claims. Out: the answers of `shared.memory`, over one round trip each.

Implements `accounts.shared.SharedState`. A Redis that is away: money is refused or counted here alone, as the operator chose; what was settled
meanwhile is told when it is back. One that came back empty is told what is under way and what was settled lately; sums are read from the store.
The claims of a gateway that the store knows to be dead are let go; silence here says nothing, for it may be this way alone that is cut.
"""

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from trunkline.accounts.limits import state
from trunkline.accounts.shared import Claim, Grant, Hold, Rate, RateState, Refusal, Spent
from trunkline.shared.lua import SCRIPTS
from trunkline.shared.memory import InMemory
from trunkline.shared.redis_client import Address, Away, RedisClient

WhenAway = Literal["closed", "local"]
LOOK_S = 0.5
TELL_AGAIN_S = 60.0
"""What was settled within this may have been lost with a Redis that came back empty."""
WAIT_MS = 2_000
"""An empty Redis grants no money for so long, so that every gateway has told what it has under way."""
GONE_MS = 2_000
"""What a dead gateway held is let go so long after it was told to be dead: four of the signs that a living one would give."""
FILLER_SILENT_MS = 2_000
"""Who fills a hold, and shows no life for so long, has somebody else take it over."""
_AT_ONCE = 200
"""Commands that are told in one go, so that the answers come within the time that one has."""


class InRedis:
    """Lives as long as the process; `keep_up` runs beside it."""

    answers_at_once = False

    def __init__(
        self,
        address: Address,
        unix_ms: Callable[[], float],
        *,
        timeout_s: float = 0.5,
        when_away: WhenAway = "closed",
        wait_ms: int = WAIT_MS,
        gone_ms: int = GONE_MS,
        ca_file: str = "",
        gate: str = "",
    ) -> None:
        """`gate`: this process in the eyes of the others, under the name that it has in the store; by chance where it is left out."""
        self._client = RedisClient(address, timeout_s, SCRIPTS, ca_file)
        self._unix_ms = unix_ms
        self._when_away = when_away
        self._wait_ms = wait_ms
        self._gone_ms = gone_ms
        self._gate = gate or secrets.token_hex(8)
        self._was_tried = asyncio.Event()
        """Set once a connection was there or could not be had: requests that come with the start wait for it."""
        self._lost = asyncio.Event()
        self._local = InMemory()
        """Counts here alone while it is away; made anew for each time, since what it knew is old by then."""
        self._local_ids: dict[str, InMemory] = {}
        """Granted here, and by which of them."""
        self._perhaps: set[str] = set()
        """Of claims that were sent and not answered: they may be held there too."""
        self._claims: dict[str, tuple[Claim, int]] = {}
        """What is under way, and how much is held for it."""
        self._unsettled: dict[str, tuple[str, ...]] = {}
        """What it has not answered."""
        self._on_its_way: set[str] = set()
        """Of these, what it was asked and may answer yet: not to be sent once more."""
        self._recent: deque[tuple[float, tuple[str, ...]]] = deque()
        self._gone: set[str] = set()
        """Gateways that are dead, to be told."""
        self._epoch = b""
        self._was_forgotten = False
        """Held for dead there, or it is not the Redis that it was."""
        self._telling = asyncio.Lock()

    @property
    def is_away(self) -> bool:
        return not self._client.is_up

    async def keep_up(self, log: Any) -> None:
        """Keep a connection, and see whether it is the same Redis still, until cancelled."""
        was_away = False
        while True:
            try:
                self._lost.clear()
                await self.connect()
                await self._tell([told for id_, told in self._unsettled.items() if id_ not in self._on_its_way])
                await self._tell_gone()
                if was_away:
                    log.info("the shared state is there again")
                was_away = False
            except Away as error:
                if not was_away:
                    log.error("the shared state is away", error=str(error), when_away=self._when_away)
                was_away = True
            await self._pause(was_there=not was_away)

    async def connect(self) -> None:
        """Have a connection, to the Redis that it was before. Raises Away."""
        try:
            if not self._client.is_up:
                await self._client.connect()
                self._local = InMemory()
                if not self._epoch:
                    # What an earlier process of this name held. Before anything else is sent: nothing of this one is there yet.
                    await self._client.run("gone", self._gate, str(self._gone_ms))
            epoch, was_known = await self._client.run("beat", _ms(self._unix_ms()), self._gate)
        finally:
            self._was_tried.set()
        async with self._telling:
            self._was_forgotten = self._was_forgotten or not was_known
            if self._was_forgotten:
                await self._restore()
            if self._epoch not in (b"", epoch):
                await self._tell([values for _, values in self._recent])
            # Only now: what was told by half is told again.
            self._was_forgotten, self._epoch = False, epoch

    def let_go(self, gate: str) -> None:
        """Of a gateway that is dead, once all that is known of its requests was settled."""
        self._gone.add(gate)

    def close(self) -> None:
        self._client.close()

    # --- claims

    async def claim(self, claim: Claim, now_ms: float) -> Grant | Refusal:
        """All or nothing."""
        if not self._was_tried.is_set():
            await self._was_tried.wait()
        try:
            sent = self._client.run("claim", *_written(claim, now_ms, self._wait_ms, self._gate))
        except Away:
            return self._claim_here(claim, now_ms)
        try:
            told = await sent
        except Away:
            self._lost.set()
            self._perhaps.add(claim.id)
            return self._claim_here(claim, now_ms)
        self._perhaps.discard(claim.id)
        if told[0] != self._epoch:
            self._lost.set()
        if told[1] == b"grant":
            amount = int(told[2])
            self._claims[claim.id] = claim, amount
            return Grant(amount, _states(claim.rates, told[3:], now_ms))
        _, _, kind, name, left, wait_ms = told[:6]
        return _refusal(kind.decode(), name.decode(), int(left), float(wait_ms), _states(claim.rates, told[6:], now_ms))

    async def extend(self, id_: str, more_pico_usd: int, now_ms: float) -> Grant | Refusal:
        """Hold more: all of it, or a refusal."""
        if id_ in self._local_ids:
            return self._local_ids[id_].extend(id_, more_pico_usd, now_ms)
        known = self._claims.get(id_)
        if known is None:
            return Refusal("unavailable", "")
        try:
            told = await self._client.run("extend", _ms(now_ms), id_, str(more_pico_usd))
        except Away:
            return Refusal("unavailable", "")
        if told[0] == b"grant":
            if id_ in self._claims:
                self._claims[id_] = known[0], int(told[1])
            return Grant(int(told[1]))
        _, kind, name, left = told
        return _refusal(kind.decode(), name.decode(), int(left), 0.0, ())

    def settle(self, id_: str, cost_pico_usd: int, tokens: int, now_ms: float, names: Sequence[str] = ()) -> None:
        """What it really was. Told now, or when it is back."""
        self._claims.pop(id_, None)
        granted_by = self._local_ids.pop(id_, None)
        if granted_by is not None:
            granted_by.settle(id_, cost_pico_usd, tokens, now_ms, names)
        if granted_by is not self._local and self._counts_here():
            self._local.settle(id_, cost_pico_usd, tokens, now_ms, names)
        was_sent = granted_by is None or id_ in self._perhaps
        self._perhaps.discard(id_)
        if was_sent or names:
            # Also without a claim that is known: it may be on its way still, or its answer. Else nobody else knows of it.
            self._keep_told(now_ms, (_ms(now_ms), id_, str(cost_pico_usd), str(tokens), "0", *names))

    def settle_interrupted(self, id_: str, cost_pico_usd: int, now_ms: float, names: Sequence[str]) -> None:
        """See `SharedState.settle_interrupted`."""
        if self._counts_here():
            self._local.settle(id_, cost_pico_usd, 0, now_ms, names)
        self._keep_told(now_ms, (_ms(now_ms), id_, str(cost_pico_usd), "0", "1", *names))

    def _keep_told(self, now_ms: float, values: tuple[str, ...]) -> None:
        self._unsettled[values[1]] = values
        self._recent.append((now_ms, values))
        while self._recent[0][0] < now_ms - TELL_AGAIN_S * 1000:
            self._recent.popleft()
        self._tell_one(values)

    async def spent(self, names: Sequence[str], now_ms: float) -> Sequence[Spent]:
        """In their order. Raises Away."""
        told = await self._client.run("spent", _ms(now_ms), *names)
        return [Spent(int(told[at]), int(told[at + 1])) for at in range(0, len(told), 2)]

    # --- filling

    async def open(self, hold: Hold) -> bool:
        """See `SharedState.open`."""
        if self._counts_here():
            return self._local.open(hold)
        told = await self._client.run(
            "open", _ms(self._unix_ms()), hold.name, str(int(hold.ends_ms or 0)), self._gate, str(FILLER_SILENT_MS)
        )
        return bool(told)

    async def fill(self, name: str, spent_pico_usd: int, counted: Iterable[str]) -> None:
        """See `SharedState.fill`."""
        self._local.fill(name, spent_pico_usd, counted)
        if self._client.is_up:
            await self._client.run("fill", name, str(spent_pico_usd), *counted)

    async def forget(self, name: str) -> None:
        """See `SharedState.forget`."""
        self._local.forget(name)
        if self._client.is_up:
            await self._client.run("forget", name)

    # --- parts

    def _counts_here(self) -> bool:
        return not self._client.is_up and self._when_away == "local"

    def _claim_here(self, claim: Claim, now_ms: float) -> Grant | Refusal:
        """Rates and places are counted here alone; money is where the operator wants it."""
        if claim.holds and self._when_away == "closed":
            answer: Grant | Refusal = Refusal("unavailable", claim.holds[0].name)
        else:
            answer = self._local.claim(claim, now_ms)
        if isinstance(answer, Grant):
            self._local_ids[claim.id] = self._local
        elif answer.kind != "unknown" and claim.id in self._perhaps:
            # It may have been granted there, and nobody uses it.
            self._perhaps.discard(claim.id)
            self._unsettled[claim.id] = (_ms(now_ms), claim.id, "0", "0", "0")
        return answer

    async def _pause(self, *, was_there: bool) -> None:
        """Until the next look; at once where a connection that was there is lost."""
        if not was_there:
            await asyncio.sleep(LOOK_S)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._lost.wait()

    def _tell_one(self, values: tuple[str, ...]) -> None:
        try:
            future = self._client.run("settle", *values)
        except Away:
            return
        self._on_its_way.add(values[1])
        future.add_done_callback(lambda told: self._told(values[1], told))

    def _told(self, id_: str, told: "asyncio.Future[Any]") -> None:
        self._on_its_way.discard(id_)
        if not told.cancelled() and told.exception() is None:
            self._unsettled.pop(id_, None)

    async def _tell_gone(self) -> None:
        """Raises Away."""
        for gate in list(self._gone):
            await self._client.run("gone", gate, str(self._gone_ms))
            self._gone.discard(gate)

    async def _restore(self) -> None:
        """What is under way. Raises Away."""
        claims = list(self._claims.items())
        for at in range(0, len(claims), _AT_ONCE):
            # What ended while this waited is not under way any more.
            going = [known for id_, known in claims[at : at + _AT_ONCE] if id_ in self._claims]
            now_ms = self._unix_ms()
            await asyncio.gather(
                *[self._client.run("restore", *_restored(claim, amount, now_ms, self._gate)) for claim, amount in going]
            )

    async def _tell(self, settled: Sequence[tuple[str, ...]]) -> None:
        """Some at a time: their answers come in time, and requests go in between. Raises Away."""
        for at in range(0, len(settled), _AT_ONCE):
            some = settled[at : at + _AT_ONCE]
            await asyncio.gather(*[self._client.run("settle", *values) for values in some])
            for values in some:
                self._unsettled.pop(values[1], None)


def _ms(now_ms: float) -> str:
    return f"{now_ms:.3f}"


def _written(claim: Claim, now_ms: float, wait_ms: int, gate: str) -> list[str]:
    values = [
        _ms(now_ms),
        claim.id,
        str(claim.amount_pico_usd),
        str(claim.least_pico_usd),
        str(int(claim.lease_s * 1000)),
        str(claim.tokens),
        str(wait_ms),
        gate,
        str(len(claim.holds)),
    ]
    for hold in claim.holds:
        values += [hold.name, str(hold.limit_pico_usd)]
    values.append(str(len(claim.places)))
    for places in claim.places:
        values += [places.name, str(places.most)]
    values.append(str(len(claim.rates)))
    for rate in claim.rates:
        values += [rate.name, rate.kind, str(rate.per_minute)]
    return values


def _restored(claim: Claim, amount_pico_usd: int, now_ms: float, gate: str) -> list[str]:
    values = [
        _ms(now_ms),
        claim.id,
        str(amount_pico_usd),
        str(int(claim.lease_s * 1000)),
        str(claim.tokens),
        gate,
        str(len(claim.holds)),
    ]
    for hold in claim.holds:
        values += [hold.name, str(hold.limit_pico_usd)]
    return values + [places.name for places in claim.places]


def _states(rates: tuple[Rate, ...], until_ms: Sequence[bytes], now_ms: float) -> tuple[RateState, ...]:
    return tuple([state(rate, float(until), now_ms) for rate, until in zip(rates, until_ms, strict=False)])


def _refusal(kind: str, name: str, left: int, wait_ms: float, states: tuple[RateState, ...]) -> Refusal:
    wait_s = wait_ms / 1000 or None
    if kind == "money":
        return Refusal("credits" if name.startswith("credits:") else "budget", name, max(left, 0), None, states)
    if kind == "concurrency":
        return Refusal("concurrency", name, 0, wait_s, states)
    if kind == "requests":
        return Refusal("requests", name, 0, wait_s, states)
    if kind == "tokens":
        return Refusal("tokens", name, 0, wait_s, states)
    return Refusal("unknown" if kind == "unknown" else "unavailable", name, 0, None, states)
