"""What is worth an alert, and that it is the same one however often it is asked."""

from dataclasses import dataclass

import msgspec
import pytest

from trunkline.accounts.types import Budget
from trunkline.alerts.find import of_budgets, of_credits, of_incidents, of_unpriced
from trunkline.records.figures import Use
from trunkline.records.incidents import Incident

USD = 10**12
BUDGET = Budget("bud_1", "org_1", "project", "prj_1", "month", 100 * USD, 1, alerts=(50, 80, 100))
NOON_S = 1_793_534_400


@dataclass
class Standing:
    spent_pico_usd: int
    budget: Budget = BUDGET
    start_ms: int = 1_793_491_200_000
    ends_ms: int | None = 1_796_083_200_000


INCIDENT = Incident("acme", ("acme/alpha:acme",), NOON_S, NOON_S + 600, 10, 8, {"status 503": 8}, ongoing=True)


@pytest.mark.parametrize(("spent", "percent"), [(50, 50), (79, 50), (80, 80), (99, 80), (100, 100), (250, 100)])
def test_of_a_budget_the_highest_threshold_that_it_passed_is_told(spent, percent):
    (alert,) = of_budgets([Standing(spent * USD)])
    assert alert.data["percent"] == percent
    assert alert.title == f"{percent} % of the budget of a month of project prj_1"
    assert (alert.data["spent_usd"], alert.data["limit_usd"]) == (str(spent), "100")
    assert "begins anew at 2026-12-01 00:00 UTC" in alert.text


def test_below_every_threshold_nothing_is_told():
    assert of_budgets([Standing(50 * USD - 1), Standing(0, msgspec.structs.replace(BUDGET, limit_pico_usd=0))]) == []


def test_a_new_period_and_another_limit_are_told_anew():
    larger = msgspec.structs.replace(BUDGET, limit_pico_usd=120 * USD)
    found = of_budgets([Standing(100 * USD), Standing(100 * USD, start_ms=1), Standing(100 * USD, larger)])
    assert len({alert.key for alert in found}) == 3


@dataclass
class Left:
    left_pico_usd: int
    org_id: str = "org_1"
    funded_pico_usd: int = 100 * USD


def low(*found, threshold=10 * USD):
    return of_credits(found, lambda org_id: threshold if org_id == "org_1" else None)


def test_credits_below_the_threshold_are_told_of_once_until_somebody_pays_in():
    (alert,), (later,), (refilled,) = low(Left(9 * USD)), low(Left(-USD)), low(Left(3 * USD, funded_pico_usd=105 * USD))
    assert alert.data == {"organisation": "org_1", "left_usd": "9", "threshold_usd": "10"}
    assert (later.key, "refused" in later.text, "refused" in alert.text) == (alert.key, True, False)
    assert refilled.key != alert.key


def test_credits_at_the_threshold_or_without_one_are_not_told_of():
    assert low(Left(10 * USD), Left(0, org_id="org_2")) == []


def test_an_outage_is_told_once_while_it_goes_on():
    (alert,) = of_incidents([INCIDENT], NOON_S - 86_400)
    later = msgspec.structs.replace(INCIDENT, start_s=NOON_S + 60, end_s=NOON_S + 1200, attempts=20, failed=18)
    assert of_incidents([later], 0)[0].key == alert.key
    assert (alert.type, alert.title) == ("provider.outage", "acme fails")
    assert "8 failed (status 503)" in alert.text


def test_its_end_is_told_to_whom_its_beginning_was():
    (began,) = of_incidents([INCIDENT], 0)
    (ended,) = of_incidents([msgspec.structs.replace(INCIDENT, ongoing=False)], 0)
    assert (ended.type, ended.after) == ("provider.recovered", began.key)


def test_what_was_over_long_ago_is_not_told():
    assert of_incidents([INCIDENT], INCIDENT.end_s + 1) == []


def test_a_model_without_a_price_is_told_once_a_month():
    use = Use(attempts=10, unpriced=3)
    (alert,) = of_unpriced([("acme/alpha", "acme", use), ("acme/beta", "acme", Use(attempts=5))], NOON_S * 1000)
    assert alert.key == "unpriced:acme/alpha:acme:2026-11"
    assert "3 of 10 attempts" in alert.text
