"""The demo's own traffic; here the simulator stands at the gateway's path, as the provider `api`."""

import asyncio
import random

import pytest

from tests.fakes.simulated import SimulatedProvider
from trunkline.simulate.showcase import MODEL, TARGETS
from trunkline.simulate.traffic import Tally, ask, request, trickle


async def test_an_answer_gives_the_time_to_its_first_text(simulated: SimulatedProvider) -> None:
    assert await ask(simulated.port, request(MODEL, "hi", "k")) > 0


@pytest.mark.parametrize("question", ["<<fail 500 1>>", "<<cut 3>>", "<<cut>>", "<<empty>>"])
async def test_an_answer_that_breaks_is_an_error(simulated: SimulatedProvider, question: str) -> None:
    with pytest.raises((ValueError, asyncio.IncompleteReadError)):
        await ask(simulated.port, request(MODEL, question, "k"))


class Pauses(random.Random):
    """Draws no pause, and says when so many requests have ended."""

    def __init__(self, requests: int) -> None:
        super().__init__(1)
        self.left = requests
        self.over = asyncio.Event()

    def uniform(self, _least: float, _most: float) -> float:
        self.left -= 1
        if self.left <= 0:
            self.over.set()
        return 0.0


async def run_traffic(requests: int, port: int) -> Tally:
    tally, pauses = Tally(), Pauses(requests)
    running = asyncio.create_task(trickle(port, "k", 3, 1.0, pauses, tally))
    await pauses.over.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return tally


async def test_the_trickle_asks_for_every_target_and_counts_what_comes(simulated: SimulatedProvider) -> None:
    tally = await run_traffic(9, simulated.port)
    simulated.idle()
    assert {entry["body"]["model"] for entry in simulated.log()} == set(TARGETS)
    assert (tally.failed, tally.under_way) == (0, 0)
    assert tally.line().startswith(f"{tally.answered} answered, 0 under way, 0 failed")


async def test_failures_are_counted_and_the_trickle_goes_on(simulated: SimulatedProvider) -> None:
    simulated.behaviour("api", error_rates={"500": 1})
    tally = await run_traffic(5, simulated.port)
    assert tally.answered == 0
    assert tally.failed >= 5
