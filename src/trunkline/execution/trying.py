"""The attempts of one request, one after another (or two at once, where the caller wishes so), until one answers or nothing is left to try.

In: the plan. Out: None when the caller was answered or has left; the `Failure` of an answer that broke off; a `RequestError` where there was none.
What is done about each failure is `decide`'s to say; here it is only followed.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from trunkline.catalog.types import Offer
from trunkline.errors import RequestError
from trunkline.execution.affinity import is_elsewhere, note
from trunkline.execution.asked import Asked
from trunkline.execution.attempt import Attempting, Try
from trunkline.execution.begun import Begun
from trunkline.execution.bill import together
from trunkline.execution.blame import client_error
from trunkline.execution.decide import Decision, Situation, decide
from trunkline.execution.exchange import Exchange
from trunkline.execution.failure import LIMITED, Failure
from trunkline.execution.final import final_error
from trunkline.execution.gateway import Gateway, Snapshot
from trunkline.execution.hedge import Race
from trunkline.execution.learning import learn_shape
from trunkline.execution.planning import learn
from trunkline.execution.rescue import Continuation, merged, takes
from trunkline.execution.respond import Reply
from trunkline.ir.fault import Blame
from trunkline.ir.wish import Hedge
from trunkline.routing.affinity import Held
from trunkline.routing.health import Sample
from trunkline.routing.types import Plan

BYOK = "byok: paid with the caller's own key of the provider"
"""The note on a record of such a request. Its cost is what the provider bills to that member, not to the operator."""
_ASKS_FOR_REST = (LIMITED, 503)


class Trying:
    """Lives as long as its request is tried."""

    __slots__ = (
        "_answered_by", "_asked", "_begun", "_exchange", "_failures", "_gateway", "_log", "_model", "_next", "_race", "_raced_from", "_reply",
        "_snapshot", "_task",
    )  # fmt: skip

    def __init__(
        self,
        gateway: Gateway,
        snapshot: Snapshot,
        exchange: Exchange,
        reply: Reply,
        asked: Asked,
        chosen: Plan,
        log: Any,
        task: "asyncio.Task[Any]",
        begun: Begun | None = None,
    ) -> None:
        """`task` is the request's, which ends where its caller's leaving ends the call. `begun` is the plan's first attempt, where it was sent already."""
        self._begun = begun
        self._gateway = gateway
        self._snapshot = snapshot
        self._exchange = exchange
        self._reply = reply
        self._asked = asked
        self._log = log
        self._task = task
        self._model = chosen.model.slug
        held = chosen.held
        self._next = deque([Try(step) for step in chosen.steps])
        if held is not None:
            self._next = deque([_knowing(held, one) for one in self._next])
        self._failures: list[tuple[Offer, Failure]] = []
        self._answered_by: Attempting | None = None
        self._race: Race | None = None
        """The last one. No other is begun while one of its attempts runs: from its winner there is only a rescue, which runs alone."""
        self._raced_from = 0
        """How many attempts were in the record before it."""

    async def run(self) -> Failure | None:
        """Raises a `RequestError` where no offer answered and nothing of an answer has gone to the caller."""
        hedge = self._asked.facts.wish.hedge
        last: Attempting | None = None
        while self._begun is not None or not self._reply.left or self._exchange.drains:
            one = self._next.popleft()
            if self._exchange.paying is not None:
                afforded = await self._exchange.paying.afford(one)
                if afforded is None:
                    if self._next:
                        continue
                    return self._out_of_room(last)
                one = afforded
            last = await (self._alone(one) if hedge is None else self._beside(one, hedge))
            if last.failure is None or last.decision is Decision.STOP:
                self._answered(last)
                return None
            if last.decision is Decision.GIVE_UP:
                if last.committed:
                    return last.failure
                raise self._final_error()
            if last.decision is Decision.TELL_CLIENT:
                raise client_error(last.failure.status, last.failure.fault)
        return None

    def _out_of_room(self, last: Attempting | None) -> Failure | None:
        """Nothing of what is left to try can be paid."""
        if last is not None and last.committed:
            return last.failure
        paying = self._exchange.paying
        assert paying is not None, "only who pays can run out"
        raise paying.no_room(self._final_error() if self._failures else None)

    @property
    def has_rest(self) -> bool:
        """A beaten attempt is still read to its usage."""
        return self._race is not None and self._race.is_running

    async def rest(self) -> None:
        """Wait for it: its bill is the request's, but its caller need not wait. A cancel ends it."""
        race = self._race
        if race is None:
            return
        try:
            await race.rest()
        except asyncio.CancelledError:
            race.stop()
            await race.rest()
            raise
        if race.broken is not None:
            self._log.error(
                "an attempt failed inside the gateway", request_id=self._exchange.id, error=repr(race.broken)
            )

    def stop(self) -> None:
        """Of what `rest` waits for."""
        if self._race is not None:
            self._race.stop()

    def learn_shape(self) -> None:
        """After an answer: what the request has in common with those to come."""
        if self._answered_by is not None and len(self._exchange.attempts) == 1:
            one, key = self._answered_by.one, self._answered_by.key
            if not one.forgetting and one.continuation is None:
                learn_shape(self._gateway, self._snapshot, self._asked, one.step, key, self._exchange.rules)

    # --- one attempt, or two

    def _begin(self, one: Try, race: Race | None = None) -> Attempting:
        gateway = self._gateway
        attempt = Attempting(gateway, self._snapshot, self._exchange, self._reply, self._asked, one, race)
        begun, self._begun = self._begun, None
        if begun is not None:
            attempt.take_over(begun)
            return attempt
        stream = self._asked.facts.stream
        attempt.token = gateway.health.begin(attempt.offer.id, attempt.ended_at, is_stream=stream)
        return attempt

    async def _alone(self, one: Try) -> Attempting:
        attempt = self._begin(one)
        self._show(attempt)
        self._reply.watch(self._on_left(attempt.offer))
        try:
            if await attempt.run() is not None:
                self._decide(attempt)
        finally:
            self._account(attempt)
        return attempt

    async def _beside(self, first: Try, hedge: Hedge) -> Attempting:
        """Start the next offer of the model too when this one is silent for too long."""
        after_s = self._hedge_after_s(first, hedge)
        if after_s is None:
            return await self._alone(first)
        cap_s, self._raced_from = self._snapshot.policy.drain_cap_s, len(self._exchange.attempts)
        race = self._race = Race(self._exchange, self._reply, cap_s, self._show, self._lost)
        try:
            await race.run(self._begin(first, race), lambda: self._hedge(race), after_s)
            for attempt in race.ended:
                if attempt.failure is not None:
                    self._decide(attempt)
        finally:
            for attempt in race.ended:
                if attempt.is_begun:
                    self._show(attempt)
                self._account(attempt)
        return _most_telling(race.ended)

    async def _hedge(self, race: Race) -> Attempting | None:
        """None where it cannot be paid, or where it is too late by now."""
        one, paying = self._next[0], self._exchange.paying
        if paying is not None:
            afforded = await paying.afford(one)
            if afforded is None:
                return None
            if not race.is_running or race.winner is not None or self._reply.left:
                paying.ended(afforded)
                return None
            one = afforded
        self._next.popleft()
        attempt = self._begin(one, race)
        attempt.kind = "hedge"
        return attempt

    def _hedge_after_s(self, first: Try, hedge: Hedge) -> float | None:
        """How long it may be silent before another is asked too; None: there is no other, or nothing is known of how long it takes."""
        offer = first.step.offer
        if first.continuation is not None or not self._next or self._next[0].step.offer.model != offer.model:
            return None
        if hedge.after_ms is not None:
            return hedge.after_ms / 1000
        if not self._asked.facts.stream:
            # What is measured is the time to the first token. Most whole answers take longer, and each would be paid for twice.
            return None
        p95_ms = self._gateway.health.figures(offer.id, self._gateway.clock.now_s()).p95_ms
        return None if p95_ms is None else p95_ms / 1000

    def _lost(self, attempt: Attempting) -> None:
        """It was beaten: its bill is the request's too."""
        if not attempt.is_begun:
            self._next.appendleft(attempt.one)
        if attempt.failure is not None:
            self._heed(attempt, attempt.failure)
            attempt.decision = decide(attempt.failure, Situation(other_answers=True))
        self._account(attempt, lost=True)

    def _on_left(self, offer: Offer) -> Callable[[], None]:
        """What happens when the caller leaves: stop at once where that stops the provider's meter, else read on for the usage, within a cap."""
        exchange, cap_s, task = self._exchange, self._snapshot.policy.drain_cap_s, self._task

        def left() -> None:
            if exchange.drains:
                return
            if offer.abortable:
                task.cancel()
            else:
                asyncio.get_running_loop().call_later(cap_s, _cancel_if_running, task)

        return left

    # --- failures

    def _decide(self, attempt: Attempting) -> None:
        """What is done about a failure, and what is tried next for it."""
        failure, one = attempt.failure, attempt.one
        assert failure is not None, "decided about failures only"
        left = self._reply.left
        if not left:
            self._heed(attempt, failure)
        continuation = attempt.continuation() if attempt.committed and not left else None
        tried = (*one.tried_keys, attempt.key.index)
        account = self._snapshot.account(attempt.offer.provider)
        decision = attempt.decision = decide(
            failure,
            Situation(
                committed=attempt.committed,
                left=left,
                continuing=one.continuation is not None,
                forgetting=one.forgetting,
                keys_left=self._gateway.keys.has_other(account, attempt.offer.id, attempt.ended_at, tried),
                offers_left=bool(self._next),
                can_continue=continuation is not None and bool(self._able(continuation)),
            ),
        )
        self._failures.append((attempt.offer, failure))
        if decision is Decision.OTHER_KEY:
            self._next.appendleft(msgspec.structs.replace(one, tried_keys=tried, wanted_key=None))
        elif decision is Decision.FORGETTING:
            self._next.append(msgspec.structs.replace(one, forgetting=True))
        elif decision is Decision.RESCUE and continuation is not None:
            self._next = deque(Try(able.step, continuation=continuation) for able in self._able(continuation))

    def _able(self, continuation: Continuation) -> list[Try]:
        return [one for one in self._next if takes(one.step.offer, continuation)]

    def _heed(self, attempt: Attempting, failure: Failure) -> None:
        """What a failure means for the requests to come, and for the operator."""
        gateway, offer, key, now_s = self._gateway, attempt.offer, attempt.key, attempt.ended_at
        is_news, rest_s = True, failure.retry_after_s
        limited = failure.status == LIMITED and failure.blame is Blame.PROVIDER
        if key.name and (limited or failure.is_of_the_account):
            account = self._snapshot.account(offer.provider)
            is_news = gateway.keys.refused(
                account, key, offer.id, failure.status, now_s, failure.retry_after_s, limited=limited
            )
            free_in_s = gateway.keys.free_in_s(account, offer.id, now_s)
            if not free_in_s:
                # Another key may be used at once.
                self._tell_operator(offer, key.name, failure, is_news=is_news)
                return
            rest_s = free_in_s if limited else rest_s
        if rest_s and failure.status in _ASKS_FOR_REST:
            gateway.health.rest(offer.id, now_s, rest_s, failure.status)
        if failure.blame is Blame.OPERATOR:
            gateway.health.demote(offer.id, now_s)
        self._tell_operator(offer, key.name, failure, is_news=is_news)

    def _tell_operator(self, offer: Offer, key: str, failure: Failure, *, is_news: bool) -> None:
        if failure.blame is Blame.OPERATOR and is_news:
            self._log.warning(
                "a provider refuses this gateway's account",
                offer=offer.id,
                **({"key": key} if key else {}),
                status=failure.status,
                message=failure.shown_message,
            )

    def _final_error(self) -> RequestError:
        told = [(offer, failure) for offer, failure in self._failures if failure.blame is not Blame.CLIENT]
        if not told:
            # No offer takes it as it is: the caller's to mend.
            _, failure = self._failures[0]
            return client_error(failure.status, failure.fault)
        return final_error(told, self._model)

    # --- the account

    def _show(self, attempt: Attempting) -> None:
        """It is the one that answers, as far as is known now."""
        exchange, offer = self._exchange, attempt.offer
        exchange.model, exchange.offer = offer.model, offer.id
        exchange.provider, exchange.simulated = offer.provider, offer.simulated

    def _account(self, attempt: Attempting, *, lost: bool = False) -> None:
        """Put the attempt into the record and into its offer's health. One that was never begun only ends there."""
        exchange, gateway = self._exchange, self._gateway
        if exchange.paying is not None:
            exchange.paying.ended(attempt.one)
        if not attempt.is_begun:
            gateway.health.observe(
                attempt.offer.id, Sample(attempt.ended_at, None, began_s=attempt.ended_at), attempt.token
            )
            return
        told = attempt.account()
        if attempt.key.own and BYOK not in exchange.notes:
            exchange.notes.append(BYOK)
        gateway.health.observe(attempt.offer.id, attempt.sample(told), attempt.token)
        if lost:
            # The last one in the record is who answered, however long the beaten one is read on.
            exchange.attempts.insert(self._raced_from, told)
            return
        exchange.attempts.append(told)
        continuation = attempt.one.continuation
        if continuation is None:
            exchange.usage, exchange.cost = told.usage, told.cost
        else:
            exchange.usage = merged(continuation.usage, told.usage)
            exchange.cost = together(exchange.cost, told.cost)
        exchange.finish_reason, exchange.answer_id = attempt.seen.finish_reason, attempt.seen.answer_id
        exchange.losses = list(attempt.losses)

    def _answered(self, attempt: Attempting) -> None:
        """None is left to try, for the better."""
        exchange, one = self._exchange, attempt.one
        if self._reply.left:
            return
        exchange.outcome, exchange.status = "ok", 200
        self._answered_by = attempt
        if attempt.key.name:
            self._gateway.keys.good(self._snapshot.account(attempt.offer.provider), attempt.key, attempt.offer.id)
        if self._asked.remembering is not None and self._asked.remembering.note:
            exchange.notes.append(self._asked.remembering.note)
        if one.moved_from:
            exchange.notes.append(f"went elsewhere than to {one.moved_from}, whose state the conversation brings")
        told = exchange.attempts[-1]
        note(self._gateway, self._asked, exchange, told)
        if one.continuation is None:
            learn(self._gateway, attempt.offer, self._asked.facts, told.usage)
        else:
            exchange.notes.append(f"rescued after {len(one.continuation.text)} characters")


def _knowing(held: Held, one: Try) -> Try:
    """With the key whose account holds the conversation's cache; elsewhere with notice that its state is held there."""
    if one.step.offer.id == held.offer:
        return msgspec.structs.replace(one, wanted_key=held.key_index)
    return msgspec.structs.replace(one, moved_from=held.offer) if is_elsewhere(held, one.step.offer.id) else one


def _most_telling(ended: list[Attempting]) -> Attempting:
    """Of two that have both ended without the other's winning: the one whose decision ends the request, if any does."""
    for attempt in ended:
        if attempt.failure is None or attempt.decision in (Decision.STOP, Decision.TELL_CLIENT):
            return attempt
    return ended[-1]


def _cancel_if_running(task: "asyncio.Task[Any]") -> None:
    if not task.done():
        task.cancel()
