"""The distributions behind the demo's figures."""

import random

import pytest

from trunkline.simulate.spread import Spread, draw

SEED_FIGURES = {
    "Azure, first token, ms": Spread(1945, 223821, 30199.85),
    "OpenAI, first token, ms": Spread(1677, 93499, 7973.91),
    "Azure, tokens/s": Spread(15.65, 138.49, 65.33),
    "OpenAI, tokens/s": Spread(36.37, 100.14, 48.77),
}


@pytest.mark.parametrize("spread", SEED_FIGURES.values(), ids=SEED_FIGURES)
def test_ten_thousand_draws_keep_the_bounds_and_the_average(spread: Spread) -> None:
    source = random.Random(7)
    drawn = [draw(spread, source) for _ in range(10_000)]
    assert spread.min <= min(drawn)
    assert max(drawn) <= spread.max
    assert sum(drawn) / len(drawn) == pytest.approx(spread.avg, rel=0.03)


@pytest.mark.parametrize("spread", SEED_FIGURES.values(), ids=SEED_FIGURES)
def test_draws_spread_over_the_range_instead_of_sitting_on_the_average(spread: Spread) -> None:
    source = random.Random(7)
    drawn = sorted(draw(spread, source) for _ in range(10_000))
    assert drawn[1_000] < spread.avg < drawn[9_000]
    assert max(drawn) > spread.avg + (spread.max - spread.avg) * 0.4


def test_the_same_seed_gives_the_same_draws() -> None:
    spread = Spread(1, 10, 3)
    assert [draw(spread, random.Random(1)) for _ in range(3)] == [draw(spread, random.Random(1)) for _ in range(3)]


def test_a_flat_figure_is_never_varied() -> None:
    assert draw(Spread(5, 5, 5), random.Random()) == 5


@pytest.mark.parametrize("figures", [(2, 1, 1.5), (1, 2, 2), (1, 2, 3), (-1, 2, 1)])
def test_figures_that_contradict_each_other_are_refused(figures: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="must hold"):
        Spread(*figures)
