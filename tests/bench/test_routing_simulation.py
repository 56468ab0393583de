"""The simulation of routing: the same seed gives the same figures, failing over works, and ours is between the oracle and chance where it has to be."""

import pytest

from bench.routing import AtRandom, Oracle, Ours, RoundRobin, Row, Static, decision, row, simulate, table
from bench.routing_plot import svg
from bench.world import Phase, Sim, World, scenarios

GOOD = Sim(name="good", median_ms=300, fails=0.0)
SLOW = Sim(name="slow", median_ms=900, fails=0.0)
DOWN = Sim(name="down", median_ms=100, fails=1.0)


def of(sims, way, seconds: float = 60.0) -> Row:
    return row("way", [simulate(sims, way, 1, seconds)])


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = (simulate(scenarios()["all of it"], Ours, 7, 30.0) for _ in range(2))
    assert (first.firsts, first.attempts, first.cost_usd) == (second.firsts, second.attempts, second.cost_usd)


def test_an_attempt_that_fails_goes_to_the_next_offer() -> None:
    found = of((DOWN, GOOD), Static)
    assert (found.success, found.attempts) == (1.0, pytest.approx(2.0, abs=0.02))
    assert found.p50_s > 0.3 + 0.2


def test_a_request_that_every_offer_refuses_is_not_answered() -> None:
    dead = simulate((DOWN, DOWN), RoundRobin, 1, 30.0)
    assert dead.requests > 500
    assert dead.firsts == []
    assert dead.failed == pytest.approx(dead.requests, rel=0.05)


def test_the_oracle_never_asks_who_is_down_and_always_the_quickest() -> None:
    found = simulate((SLOW, DOWN, GOOD), Oracle, 1, 30.0)
    assert {place for _, place in found.tried} == {2}


def test_ours_leaves_an_offer_that_is_down_and_comes_back_to_it() -> None:
    weak = Sim(name="weak", median_ms=200, fails=0.0, phases=(Phase(from_s=60, to_s=120, fails=1.0),))
    run = simulate((weak, SLOW), Ours, 1, 300.0)

    def share(from_s: float, to_s: float) -> float:
        places = [place for at_s, place in run.tried if from_s <= at_s < to_s]
        return places.count(0) / len(places)

    assert share(30, 60) > 0.7
    assert share(70, 120) < 0.1
    assert share(250, 300) > 0.7
    assert run.failed == 0


def test_ours_is_quicker_than_chance_where_offers_differ() -> None:
    assert of((GOOD, SLOW), Ours, 120.0).p50_s < 0.8 * of((GOOD, SLOW), AtRandom, 120.0).p50_s


def test_limits_and_load_are_felt() -> None:
    world = World(
        (Sim(name="a", median_ms=100, limit_per_s=1.0, retry_after_s=2.0, capacity=10.0),), lambda: 0.5, lambda: 0.0
    )
    codes = [world.begin(0, 0.5).code for _ in range(4)]
    assert codes == [200, 200, 429, 429]
    assert world.expected_ms(0, 0.5) == pytest.approx(100 * (1 + 0.4**2))
    world.end(0)
    assert world.expected_ms(0, 0.5) == pytest.approx(100 * (1 + 0.3**2))


def test_what_comes_again_and_again_holds_again_and_again() -> None:
    phase = Phase(from_s=10, to_s=12, every_s=60)
    assert [at_s for at_s in (9, 10, 11.9, 12, 70, 73, 130) if phase.holds(at_s)] == [10, 11.9, 70, 130]


def test_the_table_and_the_plot_show_each_way() -> None:
    sims = scenarios()["calm"]
    runs = {"Trunkline": simulate(sims, Ours, 1, 60.0), "random": simulate(sims, AtRandom, 1, 60.0)}
    words = table({"calm": [row(way, [run]) for way, run in runs.items()]})
    assert words.count("| Trunkline | 100.00% |") == 1
    drawn = svg(runs, sims, 60.0)
    assert drawn.count("<polyline") == 2
    assert drawn.endswith("</svg>\n")


def test_a_decision_is_measured() -> None:
    assert set(decision(offers=3, seconds=0.0)) == {"order", "draw"}
