"""Holds a request to its key's terms: claims before the first byte, holds more for further attempts, settles at the end. In: terms, plans, costs.

Out: what may be tried, with a lower output limit where a budget pays no more, or a `RequestError` that says which limit. A key without terms meets
nothing of this.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from trunkline.accounts.keys import ApiKey
from trunkline.accounts.shared import Claim, Grant, Hold, Refusal, SharedState
from trunkline.accounts.terms import KeyTerms
from trunkline.accounts.types import Budget
from trunkline.errors import AccessDenied, QuoteExceeded, RequestError, StoreError
from trunkline.execution.asked import Asked
from trunkline.execution.attempt import Try
from trunkline.execution.exchange import Exchange
from trunkline.execution.gateway import Clock, Snapshot
from trunkline.execution.refusing import error_of, rate_headers, too_dear, unknown_yet
from trunkline.execution.worst import Ceilings, Worst, bounds_of, worst_of
from trunkline.records.types import Record
from trunkline.routing.types import Plan, Step

TYPICAL_OUTPUT_TOKENS = 500
"""That an answer is taken to have for a rate of tokens, where the request sets no limit. The true number takes its place at the end."""
_BYTES_PER_TOKEN = 4
_LEAST_LEASE_S = 900.0
_SPARE_S = 60.0
_TRIES = 100
_PAUSE_S = 0.05
_FILLED_WITHIN_S = 10.0


class Spending(Protocol):
    """Reads from the store what was spent so far, with the ids of what is in the sum and was received lately. Raises StoreError."""

    async def of_budget(self, budget: Budget, at_ms: float) -> tuple[int, list[str]]: ...

    async def of_credits(self, org_id: str) -> tuple[int, list[str]]: ...


class Accounting:
    """The terms in force. Lives as long as the process."""

    def __init__(
        self, state: SharedState, spending: Spending, clock: Clock, ceilings: Ceilings, drain_cap_s: float = 30.0
    ) -> None:
        self.state = state
        self.clock = clock
        self.ceilings = ceilings
        self.drain_cap_s = drain_cap_s
        self.terms: Mapping[str, KeyTerms | None] = {}
        self.follow_now: Callable[[], None] = _nothing
        """Reads the store where a key is not known here yet."""
        self._spending = spending
        self._filling: dict[str, asyncio.Task[None]] = {}

    def of(self, key: ApiKey) -> KeyTerms | None:
        """The terms of a key; None: it is held to nothing. Raises Overloaded for one that is not known here and cannot be looked up, AccessDenied for
        one that the store does not have as valid."""
        try:
            return self.terms[key.id]
        except KeyError:
            try:
                self.follow_now()
            except StoreError as error:
                raise unknown_yet() from error
        try:
            return self.terms[key.id]
        except KeyError:
            # Revoked a moment ago, by somebody else: without terms it would be held to nothing.
            raise AccessDenied("The API key is not valid: it is unknown, expired or revoked.") from None

    def charge(self, record: Record) -> None:
        """Of a request that had no claim: what it cost counts in every budget that covers its key."""
        terms = self.terms.get(record.key_id)
        if terms is not None:
            names = [hold.name for hold in terms.holds(record.received_ms)]
            self.state.settle(record.id, record.cost_pico_usd, _tokens(record), self.clock.unix_ms(), names)

    def close(self, record: Record) -> None:
        """The same of one whose process is gone. Also of a key that has no terms by now: what its claim holds is let go."""
        terms = self.terms.get(record.key_id)
        names = [] if terms is None else [hold.name for hold in terms.holds(record.received_ms)]
        self.state.settle_interrupted(record.id, record.cost_pico_usd, self.clock.unix_ms(), names)

    def granted_at_once(self, claim: Claim) -> Grant | None:
        """The answer to a claim, where that can be told now, and is all that it asks for. None: nothing is claimed."""
        if not self.state.answers_at_once:
            return None
        answer = self.state.claim(claim, self.clock.unix_ms())
        return answer if isinstance(answer, Grant) else None

    def lease_s(self, longest_s: float) -> float:
        """Of a claim for a request whose attempts take no longer than that."""
        return max(longest_s + self.drain_cap_s + _SPARE_S, _LEAST_LEASE_S)

    def settle(self, terms: KeyTerms, record: Record, *, is_claimed: bool) -> None:
        """What a request really cost; also one that got no further than its claim."""
        names: list[str] = []
        if record.cost_pico_usd:
            current = self.terms.get(terms.key.id) or terms
            names = [hold.name for hold in current.holds(record.received_ms)]
        if is_claimed or names:
            self.state.settle(record.id, record.cost_pico_usd, _tokens(record), self.clock.unix_ms(), names)

    async def claimed(self, terms: KeyTerms, claim: Claim) -> Grant | Refusal:
        """The answer to a claim, once what was spent of its holds is known."""
        for _ in range(_TRIES):
            answer: Grant | Refusal = await _at_once(self.state.claim(claim, self.clock.unix_ms()))
            if isinstance(answer, Grant) or answer.kind != "unknown":
                return answer
            await self._fill_all(terms, claim.holds)
        return Refusal("unknown", claim.holds[0].name)

    async def _fill_all(self, terms: KeyTerms, holds: tuple[Hold, ...]) -> None:
        filling = [self._filling.get(hold.name) or self._fill(terms, hold) for hold in holds]
        done, _ = await asyncio.wait(filling, timeout=_FILLED_WITHIN_S)
        if len(done) < len(filling) or any(task.exception() is not None for task in done):
            raise unknown_yet()

    def _fill(self, terms: KeyTerms, hold: Hold) -> "asyncio.Task[None]":
        """In a task of its own: the request that needs it first may be left by its caller."""
        task = asyncio.get_running_loop().create_task(self._filled(terms, hold))
        self._filling[hold.name] = task
        task.add_done_callback(lambda _: self._filling.pop(hold.name, None))
        return task

    async def _filled(self, terms: KeyTerms, hold: Hold) -> None:
        if not await _at_once(self.state.open(hold)):
            # Another process finds it out, or it is known by now.
            await asyncio.sleep(_PAUSE_S)
            return
        budget = terms.budget_of(hold.name)
        try:
            if budget is None:
                spent, counted = await self._spending.of_credits(terms.key.org_id)
            else:
                spent, counted = await self._spending.of_budget(budget, _start_ms(hold))
        except BaseException:
            await _at_once(self.state.forget(hold.name))
            raise
        await _at_once(self.state.fill(hold.name, spent, counted))


class Paying:
    """One request's claim. Lives as long as it."""

    __slots__ = (
        "_accounting", "_asked", "_bounds", "_exchange", "_is_claimed", "_running", "_snapshot", "_terms", "_worst", "granted",
    )  # fmt: skip

    def __init__(self, accounting: Accounting, terms: KeyTerms, exchange: Exchange) -> None:
        self._accounting = accounting
        self._terms = terms
        self._exchange = exchange
        self._is_claimed = False
        self._running = 0
        """Pico-USD that attempts under way may still cost."""
        self._worst: dict[str, Worst | None] = {}
        self.granted = 0
        """Pico-USD that are held for it."""

    async def claim(self, snapshot: Snapshot, asked: Asked, chosen: Plan) -> None:
        """Raises a `RequestError` where a limit does not let it go."""
        exchange, terms, accounting = self._exchange, self._terms, self._accounting
        if not terms.claims:
            return
        self._snapshot, self._asked = snapshot, asked
        amount = least = 0
        holds: tuple[Hold, ...] = ()
        if terms.has_money:
            holds = terms.holds(exchange.received_ms)
            self._bounds = bounds_of(asked, exchange.request_bytes, accounting.ceilings)
            amount, least = self._quote(chosen)
        facts = asked.facts
        tokens = tokens_of(facts.prompt_bytes, facts.max_output_tokens) if terms.rates else 0
        longest_s = max(step.offer.deadlines.total_s for step in chosen.steps)
        claim = Claim(
            exchange.id,
            amount,
            least,
            holds,
            terms.rates,
            terms.places,
            tokens,
            accounting.lease_s(longest_s),
        )
        # Before it is asked for: who leaves while a Redis answers may have got it.
        self._is_claimed = True
        answer = await accounting.claimed(terms, claim)
        if terms.rates:
            exchange.more_headers += rate_headers(answer.rates, exchange.protocol, accounting.clock.unix_ms())
        if isinstance(answer, Refusal):
            self._is_claimed = False
            raise error_of(answer, terms, amount)
        self.granted = answer.amount_pico_usd

    def is_granted(self, grant: Grant) -> None:
        """Somebody has claimed for it already."""
        self._is_claimed, self.granted = True, grant.amount_pico_usd

    def go_on(self, snapshot: Snapshot, asked: Asked) -> None:
        """Instead of `claim`, after `is_granted`."""
        self._snapshot, self._asked = snapshot, asked
        if self._terms.has_money:
            self._bounds = bounds_of(asked, self._exchange.request_bytes, self._accounting.ceilings)

    def settle(self, record: Record) -> None:
        """What it really cost; also of one that got no further than its claim."""
        self._accounting.settle(self._terms, record, is_claimed=self._is_claimed)

    # --- attempts

    async def afford(self, one: Try) -> Try | None:
        """The same attempt as far as it can be paid: with a lower output limit where a budget holds no more; None where it cannot be at all."""
        if not self._terms.has_money:
            return one
        step = one.step
        worst = self._worst_of(step, one)
        if worst is None:
            return None
        room = self._room()
        need = worst.cost(worst.output_tokens)
        if need > room and self._began and await self._extended(need - room):
            room = self._room()
        limit = None if worst.is_told else worst.output_tokens
        if need > room:
            limit = min(worst.output_for(room), worst.output_tokens)
            if limit < self._least(worst) or not _takes_limit(step):
                return None
            need = worst.cost(limit)
            self._tell(limit, worst)
        self._running += need
        if limit != step.max_output_tokens:
            step = msgspec.structs.replace(step, max_output_tokens=limit)
        return msgspec.structs.replace(one, step=step, reserved_pico_usd=need)

    def ended(self, one: Try) -> None:
        """The attempt is over: what it cost is in the exchange."""
        self._running -= one.reserved_pico_usd

    def no_room(self, before: RequestError | None) -> RequestError:
        """Why nothing more is tried."""
        return too_dear(self._terms, self.granted, before)

    @property
    def _began(self) -> bool:
        """Something was tried already: before that, the grant is all there is."""
        return bool(self._running or self._exchange.attempts)

    def _room(self) -> int:
        spent = sum([attempt.cost.total_pico_usd for attempt in self._exchange.attempts])
        return self.granted - spent - self._running

    async def _extended(self, more: int) -> bool:
        answer = await _at_once(
            self._accounting.state.extend(self._exchange.id, more, self._accounting.clock.unix_ms())
        )
        if isinstance(answer, Grant):
            self.granted += more
            return True
        return False

    # --- quotes

    def _quote(self, chosen: Plan) -> tuple[int, int]:
        """The worst case of the dearest offer of the first model that may answer, and the least with which any offer can be tried.

        Models to fall back to may be far dearer: what they cost is held when they are reached.
        """
        known = [(step, worst) for step in chosen.steps if (worst := self._worst_of(step)) is not None]
        if not known:
            raise QuoteExceeded(
                f"This key has a budget, and no offer of {chosen.model.slug} that could answer has a price: what it would cost is not known.",
                param="model",
            )
        first = known[0][0].offer.model
        amount = max(worst.cost(worst.output_tokens) for step, worst in known if step.offer.model == first)
        least = min(
            worst.cost(self._least(worst) if _takes_limit(step) else worst.output_tokens) for step, worst in known
        )
        return max(amount, least), least

    def _worst_of(self, step: Step, one: Try | None = None) -> Worst | None:
        offer = step.offer
        continuation = None if one is None else one.continuation
        if continuation is not None:
            return self._made(step, len(continuation.text.encode(errors="replace")))
        try:
            return self._worst[offer.id]
        except KeyError:
            made = self._worst[offer.id] = self._made(step, 0)
            return made

    def _made(self, step: Step, more_bytes: int) -> Worst | None:
        offer, accounting = step.offer, self._accounting
        model = self._snapshot.catalog.models[offer.model]
        return worst_of(self._bounds, model, offer, accounting.ceilings, accounting.clock.today(), more_bytes)

    def _least(self, worst: Worst) -> int:
        """Tokens of output below which an answer is of no use: what the caller lets it think is left whole."""
        least = min(self._accounting.ceilings.least_output_tokens, worst.output_tokens)
        return min(least + _thinking(self._asked), worst.output_tokens)

    def _tell(self, limit: int, worst: Worst) -> None:
        """With notice, in the record and in a header."""
        asked = f" instead of {worst.output_tokens}"
        note = f"the answer was limited to {limit} tokens{asked}: a budget holds no more"
        exchange = self._exchange
        exchange.notes.append(note)
        exchange.more_headers = [one for one in exchange.more_headers if one[0] != b"x-trunkline-notice"]
        exchange.more_headers.append((b"x-trunkline-notice", note.encode()))


def tokens_of(prompt_bytes: int, max_output_tokens: int | None) -> int:
    """What a request is taken to use, for a rate of tokens."""
    return -(-prompt_bytes // _BYTES_PER_TOKEN) + (max_output_tokens or TYPICAL_OUTPUT_TOKENS)


def _nothing() -> None:
    """No store is followed."""


async def _at_once(answer: Any) -> Any:
    """What memory says at once, and a Redis after a while."""
    if isinstance(answer, Awaitable):
        return await answer
    return answer


def _start_ms(hold: Hold) -> float:
    """Of its period, which stands in the name."""
    return float(hold.name.rpartition(":")[2])


def _takes_limit(step: Step) -> bool:
    """Whether the offer can be told a lower output limit."""
    supported = step.offer.supported_parameters
    return supported is None or "max_completion_tokens" in supported


def _thinking(asked: Asked) -> int:
    """Tokens that the caller lets the model think, where it says so."""
    if "reasoning" not in asked.facts.needs:
        return 0
    try:
        reasoning = asked.canonical().reasoning
    except RequestError:
        return 0
    return (reasoning.budget_tokens or 0) if reasoning is not None else 0


def _tokens(record: Record) -> int:
    """Of all attempts."""
    return sum([one.usage.total_input_tokens + one.usage.total_output_tokens for one in record.attempts])
