"""Effort and budget stand for each other by their share of the output limit."""

import pytest

from trunkline.ir.request import Reasoning
from trunkline.protocols.codec import Quirks
from trunkline.protocols.reasoning import effort_of, fit

BUDGET = Quirks(reasoning="budget")


@pytest.mark.parametrize(("effort", "budget"), [("low", 2000), ("medium", 5000), ("high", 8000)])
def test_an_effort_is_a_share_of_the_limit_and_back(effort: str, budget: int) -> None:
    assert fit(Reasoning(effort=effort), BUDGET, 10_000) == (Reasoning(enabled=True, budget_tokens=budget), "")
    assert effort_of(budget, 10_000) == effort
    found, _ = fit(Reasoning(budget_tokens=budget), Quirks(), 10_000)
    assert found == Reasoning(effort=effort)


def test_a_budget_between_two_efforts_becomes_the_nearer_one() -> None:
    assert effort_of(3000, 10_000) == "low"


def test_a_budget_stays_below_the_limit() -> None:
    assert fit(Reasoning(budget_tokens=9_000), BUDGET, 5_000) == (
        Reasoning(enabled=True, budget_tokens=4_999),
        "the budget became 4999",
    )


def test_there_is_no_thinking_where_the_limit_leaves_no_room_for_it() -> None:
    found, lost = fit(Reasoning(effort="high"), BUDGET, 800)
    assert found is None
    assert "the output limit is 800" in lost


def test_an_effort_that_the_model_lacks_becomes_the_nearest() -> None:
    found, lost = fit(Reasoning(effort="xhigh"), Quirks(efforts=("low", "medium", "high")), None)
    assert (found, lost) == (Reasoning(effort="high"), "the effort became `high`")


def test_adaptive_thinking_stays_adaptive() -> None:
    assert fit(Reasoning(enabled=True, shown=True), Quirks(), None) == (Reasoning(enabled=True, shown=True), "")


def test_off_is_off_or_the_least() -> None:
    off = Reasoning(enabled=False)
    assert fit(off, Quirks(), None) == (off, "")
    always = Quirks(can_disable_reasoning=False, efforts=("low", "high"))
    assert fit(off, always, None)[0] == Reasoning(effort="low")
    assert fit(off, Quirks(reasoning="budget", can_disable_reasoning=False, min_budget_tokens=128), None)[
        0
    ] == Reasoning(enabled=True, budget_tokens=128)
    assert fit(off, Quirks(reasoning="none"), None) == (None, "")


def test_a_model_that_does_not_reason_is_not_asked_to() -> None:
    assert fit(Reasoning(effort="low"), Quirks(reasoning="none"), None) == (None, "the model does not reason")


def test_a_model_that_knows_on_and_off_gets_on() -> None:
    assert fit(Reasoning(effort="low"), Quirks(reasoning="toggle"), None)[0] == Reasoning(enabled=True)
