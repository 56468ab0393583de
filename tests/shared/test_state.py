"""What gateways agree on, in memory and in Redis: the same answers from both."""

import asyncio

from trunkline.accounts.shared import Grant, Refusal, Spent

BIG = 9_000_000 * 10**12
"""Pico-USD beyond what a Lua number holds exactly."""


async def test_a_claim_holds_and_its_settlement_spends(shared) -> None:
    hold = await shared.filled(shared.hold(limit=100))
    assert await shared.claim("a", 60, holds=(hold,)) == Grant(60)
    assert await shared.spent(hold) == Spent(0, 60)
    await shared.settle("a", 25)
    assert await shared.spent(hold) == Spent(25, 0)


async def test_a_claim_takes_what_is_left_but_not_less_than_is_of_use(shared) -> None:
    hold = await shared.filled(shared.hold(limit=100), spent=30)
    assert await shared.claim("a", 90, 50, holds=(hold,)) == Grant(70)
    refused = await shared.claim("b", 90, 50, holds=(hold,))
    assert refused == Refusal("budget", hold.name, 0)
    await shared.settle("a", 10)
    refused = await shared.claim("c", 90, 61, holds=(hold,))
    assert refused == Refusal("budget", hold.name, 60)


async def test_it_is_all_or_nothing_over_several_holds(shared) -> None:
    wide, tight = await shared.filled(shared.hold("budget:w", 100)), await shared.filled(shared.hold("credits:t", 5))
    assert await shared.claim("a", 10, holds=(wide, tight)) == Refusal("credits", tight.name, 5)
    assert await shared.spent(wide) == Spent(0, 0)
    assert await shared.claim("b", 10, 1, holds=(wide, tight)) == Grant(5)


async def test_large_sums_are_exact_to_the_last_pico(shared) -> None:
    hold = await shared.filled(shared.hold(limit=BIG + 7), spent=BIG)
    assert isinstance(await shared.claim("a", 8, holds=(hold,)), Refusal)
    assert await shared.claim("b", 7, holds=(hold,)) == Grant(7)
    await shared.settle("b", 6)
    assert await shared.spent(hold) == Spent(BIG + 6, 0)
    assert await shared.claim("c", 2, 1, holds=(hold,)) == Grant(1)


async def test_a_claim_across_a_whole_dollar(shared) -> None:
    dollar = 10**12
    hold = await shared.filled(shared.hold(limit=3 * dollar), spent=dollar - 1)
    assert await shared.claim("a", 5 * dollar, 1, holds=(hold,)) == Grant(2 * dollar + 1)
    await shared.settle("a", dollar + 2)
    assert await shared.spent(hold) == Spent(2 * dollar + 1, 0)


async def test_what_costs_nothing_goes_when_a_budget_is_spent(shared) -> None:
    hold = await shared.filled(shared.hold(limit=5), spent=9)
    assert await shared.claim("a", 0, holds=(hold,)) == Grant(0)


async def test_more_is_held_for_a_further_attempt_or_refused(shared) -> None:
    hold = await shared.filled(shared.hold(limit=100))
    await shared.claim("a", 60, holds=(hold,))
    assert await shared.extend("a", 30) == Grant(90)
    assert await shared.extend("a", 11) == Refusal("budget", hold.name, 10)
    await shared.settle("a", 90)
    assert await shared.spent(hold) == Spent(90, 0)
    assert isinstance(await shared.extend("a", 1), Refusal)


async def test_a_settlement_counts_once(shared) -> None:
    hold = await shared.filled(shared.hold())
    await shared.claim("a", 10, holds=(hold,))
    await shared.settle("a", 4)
    await shared.settle("a", 4)
    assert await shared.spent(hold) == Spent(4, 0)


async def test_an_unknown_hold_grants_nothing_until_it_is_filled(shared) -> None:
    hold = shared.hold()
    assert await shared.claim("a", 1, holds=(hold,)) == Refusal("unknown", hold.name)
    await shared.filled(hold, 99)
    assert await shared.claim("a", 1, holds=(hold,)) == Grant(1)


async def test_what_settles_while_a_hold_is_filled_counts_once(shared) -> None:
    """`early` is in the store's sum by then, `late` is not."""
    from tests.shared.conftest import now

    hold = shared.hold(limit=1_000)
    assert await now(shared.state.open(hold))
    assert not await now(shared.state.open(hold))
    await shared.settle("early", 7, 0, hold.name)
    await shared.settle("late", 11, 0, hold.name)
    await now(shared.state.fill(hold.name, 107, [shared.name("early")]))
    assert await shared.spent(hold) == Spent(118, 0)


async def test_what_the_sum_has_already_is_not_counted_when_it_settles_after_it(shared) -> None:
    """An interrupted record: in the store before anybody charges it."""
    hold = await shared.filled(shared.hold(limit=1_000), 107, ("interrupted",))
    await shared.settle("interrupted", 7, 0, hold.name)
    await shared.settle("another", 11, 0, hold.name)
    assert await shared.spent(hold) == Spent(118, 0)


async def test_less_than_nothing_spent_is_as_much_more_left(shared) -> None:
    for spent in (-1, -5, -999_999_999_999, -(10**12), -(10**12) - 1, -3 * 10**12 + 1):
        hold = await shared.filled(shared.hold(f"budget:{spent}", 2), spent)
        assert await shared.claim(f"all {spent}", 2 - spent + 1, 1, holds=(hold,)) == Grant(2 - spent)


async def test_a_hold_that_came_while_a_request_was_under_way_is_charged_too(shared) -> None:
    first, second = await shared.filled(shared.hold("budget:1")), shared.hold("budget:2")
    await shared.claim("a", 10, holds=(first,))
    await shared.filled(second)
    await shared.settle("a", 6, 0, first.name, second.name)
    assert await shared.spent(first) == Spent(6, 0)
    assert await shared.spent(second) == Spent(6, 0)


async def test_a_lease_that_is_over_gives_back_what_was_held(shared) -> None:
    hold, places = await shared.filled(shared.hold()), shared.places(1)
    await shared.claim("a", 100, holds=(hold,), places=(places,), lease_s=60.0)
    assert isinstance(await shared.claim("b", 1, holds=(hold,)), Refusal)
    shared.passes(61)
    assert await shared.claim("c", 100, holds=(hold,), places=(places,)) == Grant(100)
    await shared.settle("a", 3)
    assert await shared.spent(hold) == Spent(3, 100)


async def test_a_further_attempt_prolongs_the_lease(shared) -> None:
    hold = await shared.filled(shared.hold())
    await shared.claim("a", 50, holds=(hold,), lease_s=60.0)
    shared.passes(50)
    await shared.extend("a", 10)
    shared.passes(50)
    assert await shared.spent(hold) == Spent(0, 60)
    shared.passes(11)
    assert await shared.spent(hold) == Spent(0, 0)


async def test_requests_a_minute(shared) -> None:
    rate = shared.rate("requests", 3)
    answers = [await shared.claim(str(number), 0, rates=(rate,)) for number in range(4)]
    assert [answer.rates[0].remaining for answer in answers] == [2, 1, 0, 0]
    refused = answers[3]
    assert (refused.kind, refused.name, round(refused.retry_after_s, 3)) == ("requests", rate.name, 20.0)
    shared.passes(19.9)
    assert isinstance(await shared.claim("5", 0, rates=(rate,)), Refusal)
    shared.passes(0.2)
    assert isinstance(await shared.claim("6", 0, rates=(rate,)), Grant)


async def test_tokens_are_put_right_at_the_end(shared) -> None:
    rate = shared.rate("tokens", 600)
    assert (await shared.claim("a", 0, rates=(rate,), tokens=500)).rates[0].remaining == 100
    assert (await shared.claim("b", 0, rates=(rate,), tokens=200)).kind == "tokens"
    await shared.settle("a", 0, 50)
    assert (await shared.claim("c", 0, rates=(rate,), tokens=200)).rates[0].remaining == 350


async def test_more_tokens_than_a_minute_brings_go_when_all_are_there(shared) -> None:
    rate = shared.rate("tokens", 600)
    assert isinstance(await shared.claim("a", 0, rates=(rate,), tokens=1_200), Grant)
    refused = await shared.claim("b", 0, rates=(rate,), tokens=1)
    assert 59.0 < refused.retry_after_s < 61.0


async def test_requests_at_once(shared) -> None:
    places = shared.places(2)
    assert isinstance(await shared.claim("a", 0, places=(places,)), Grant)
    assert isinstance(await shared.claim("b", 0, places=(places,)), Grant)
    assert (await shared.claim("c", 0, places=(places,))).kind == "concurrency"
    await shared.settle("a", 0)
    assert isinstance(await shared.claim("d", 0, places=(places,)), Grant)


async def test_who_is_refused_takes_nothing(shared) -> None:
    hold, rate, places = await shared.filled(shared.hold(limit=5)), shared.rate("requests", 5), shared.places(1)
    await shared.claim("a", 9, holds=(hold,), rates=(rate,), places=(places,))
    answer = await shared.claim("b", 1, holds=(hold,), rates=(rate,), places=(places,))
    assert answer == Grant(1, answer.rates)
    assert answer.rates[0].remaining == 4


async def test_two_hundred_at_once_never_pass_a_hold(shared) -> None:
    hold = await shared.filled(shared.hold(limit=1_000))
    answers = await asyncio.gather(*[shared.claim(str(number), 57, 20, holds=(hold,)) for number in range(200)])
    granted = [answer.amount_pico_usd for answer in answers if isinstance(answer, Grant)]
    assert granted == [57] * 17 + [31]
    for number in range(200):
        await shared.settle(str(number), 57 if number < 17 else 0)
    assert await shared.spent(hold) == Spent(969, 0)
