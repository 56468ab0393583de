"""Figures of a page are worked out once in a few seconds."""

import asyncio

import pytest

from trunkline.web.remembered import HOLDS_MS, MOST, Remembered


class Work:
    """Counts how often it was done."""

    def __init__(self) -> None:
        self.done = 0

    async def __call__(self) -> int:
        self.done += 1
        return self.done


async def test_it_is_worked_out_once_until_it_is_too_old() -> None:
    remembered, work = Remembered(), Work()
    found = [await remembered.get("a", at_ms, work) for at_ms in (1.0, 2.0, HOLDS_MS, HOLDS_MS + 1)]
    assert found == [1, 1, 1, 2]


async def test_keys_have_values_of_their_own() -> None:
    remembered, work = Remembered(), Work()
    assert [await remembered.get(key, 0, work) for key in ("a", "b", "a")] == [1, 2, 1]


async def test_a_clock_that_was_set_back_makes_nothing_last_for_longer() -> None:
    remembered, work = Remembered(), Work()
    assert [await remembered.get("a", at_ms, work) for at_ms in (1e9, 0, 1)] == [1, 2, 2]


async def test_only_so_many_are_kept_the_oldest_go_first() -> None:
    remembered, work = Remembered(), Work()
    for key in range(MOST + 1):
        await remembered.get(key, 0, work)
    assert await remembered.get(MOST, 0, work) == MOST + 1
    assert await remembered.get(0, 0, work) == MOST + 2


async def test_what_fails_is_not_remembered() -> None:
    remembered, work = Remembered(), Work()

    async def fail() -> int:
        raise ValueError("not now")

    with pytest.raises(ValueError, match="not now"):
        await remembered.get("a", 0, fail)
    assert await remembered.get("a", 0, work) == 1


async def test_who_asks_meanwhile_waits_for_the_same_work() -> None:
    remembered, work, go_on = Remembered(), Work(), asyncio.Event()

    async def slow() -> int:
        await go_on.wait()
        return await work()

    first, *others = [asyncio.create_task(remembered.get("a", 0, slow)) for _ in range(4)]
    await asyncio.sleep(0)
    first.cancel()
    go_on.set()
    assert await asyncio.gather(*others) == [1, 1, 1], "the one who left took nothing along"
    assert first.cancelled()
    assert await remembered.get("a", HOLDS_MS, work) == 2, "and none is pending any more"
