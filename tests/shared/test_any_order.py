"""Whatever is claimed, held for more, settled, lost and made new, in whatever order: what is spent and held never passes a limit, in memory and in Redis."""

import asyncio
import uuid
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.fakes.redis_server import RedisServer
from tests.shared.conftest import now
from trunkline.accounts.shared import Claim, Grant, Hold, Places
from trunkline.shared.memory import InMemory
from trunkline.shared.redis import InRedis
from trunkline.shared.redis_client import address_of

START_MS = 1_800_000_000_000.0
LIMITS = (5, 1_000, 2**53 + 1, 3 * 10**12 + 7)
AMOUNTS = st.integers(0, 2_000) | st.integers(10**12 - 2, 2 * 10**12)


class Anything(RuleBasedStateMachine):
    """The model is a few sums."""

    claims = Bundle("claims")
    state: Any = None
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.made = type(self).fresh()
        mark = uuid.uuid4().hex
        self.holds = [Hold(f"budget:{at}:{mark}", limit) for at, limit in enumerate(LIMITS)]
        self.places = Places(f"places:{mark}", 3)
        self.now_ms = START_MS
        self.spent = dict.fromkeys(LIMITS, 0)
        self.amounts: dict[str, int] = {}
        self.over: dict[str, float] = {}
        for hold in self.holds:
            self.ask(self.made.open(hold))
            self.ask(self.made.fill(hold.name, 0, []))

    @classmethod
    def fresh(cls) -> Any:
        raise NotImplementedError

    def ask(self, answer: Any) -> Any:
        return self.runner.run(now(answer))

    @rule(target=claims, amount=AMOUNTS, share=st.integers(0, 100), of=st.sets(st.integers(0, 3), min_size=1))
    def claim(self, amount: int, share: int, of: set[int]) -> Any:
        holds = tuple(self.holds[at] for at in sorted(of))
        claim = Claim(uuid.uuid4().hex, amount, amount * share // 100, holds, (), (self.places,), 0, 60.0)
        answer = self.ask(self.made.claim(claim, self.now_ms))
        if not isinstance(answer, Grant):
            return multiple()
        assert min(amount, claim.least_pico_usd) <= answer.amount_pico_usd <= amount
        self.amounts[claim.id] = answer.amount_pico_usd
        self.over[claim.id] = self.now_ms + 60_000
        return claim

    @rule(claim=claims, more=AMOUNTS)
    def extend(self, claim: Claim, more: int) -> None:
        if claim.id in self.amounts and isinstance(self.ask(self.made.extend(claim.id, more, self.now_ms)), Grant):
            self.amounts[claim.id] += more
            self.over[claim.id] = self.now_ms + 60_000

    @rule(claim=consumes(claims), share=st.integers(0, 100))
    def settle(self, claim: Claim, share: int) -> None:
        # What has lost its lease pays nothing more here: its provider was never asked.
        cost = self.amounts.pop(claim.id, 0) * share // 100
        self.made.settle(claim.id, cost, 0, self.now_ms, [hold.name for hold in claim.holds])
        for hold in claim.holds:
            self.spent[hold.limit_pico_usd] += cost

    @rule(seconds=st.integers(1, 50))
    def time_passes(self, seconds: int) -> None:
        self.now_ms += seconds * 1000
        for id_ in [id_ for id_, over in self.over.items() if over <= self.now_ms]:
            self.amounts.pop(id_, None)

    @invariant()
    def no_limit_is_passed(self) -> None:
        found = self.ask(self.made.spent([hold.name for hold in self.holds], self.now_ms))
        for hold, standing in zip(self.holds, found, strict=True):
            assert standing.spent_pico_usd + standing.held_pico_usd <= hold.limit_pico_usd
            assert standing.held_pico_usd >= 0
            assert standing.spent_pico_usd == self.spent[hold.limit_pico_usd]


def test_in_memory() -> None:
    class Memory(Anything):
        @classmethod
        def fresh(cls) -> InMemory:
            return InMemory()

    with asyncio.Runner() as Memory.runner:
        run_state_machine_as_test(Memory, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))


def test_in_redis(redis_server: RedisServer) -> None:
    class Redis(Anything):
        shared: InRedis

        @classmethod
        def fresh(cls) -> InRedis:
            return cls.shared

    with asyncio.Runner() as Redis.runner:
        Redis.shared = InRedis(address_of(redis_server.url), lambda: START_MS, wait_ms=0)
        Redis.runner.run(Redis.shared.connect())
        try:
            run_state_machine_as_test(
                Redis,
                settings=settings(
                    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
                ),
            )
        finally:
            Redis.shared.close()
            Redis.runner.run(asyncio.sleep(0))
