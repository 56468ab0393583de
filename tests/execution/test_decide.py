"""What is done about a failure: one row of the table after the other, before and after the caller has something."""

from pathlib import Path

import pytest

from trunkline.execution.decide import ROWS, Decision, Situation, decide, row_of
from trunkline.execution.failure import Failure
from trunkline.ir.fault import Blame, Fault

ALL = Situation(keys_left=True, offers_left=True, can_continue=True)
NOTHING_LEFT = Situation()
BEGUN = Situation(committed=True, keys_left=True, offers_left=True, can_continue=True)
BEGUN_ALONE = Situation(committed=True, offers_left=True)
NEXT, KEY, FORGETTING, RESCUE, TELL, GIVE_UP = (
    Decision.NEXT_OFFER,
    Decision.OTHER_KEY,
    Decision.FORGETTING,
    Decision.RESCUE,
    Decision.TELL_CLIENT,
    Decision.GIVE_UP,
)


def provider(cause: str, status: int = 0, retry_after_s: float | None = None) -> Failure:
    return Failure(cause, Blame.PROVIDER, status, Fault(), retry_after_s)


def operator(status: int) -> Failure:
    return Failure("status", Blame.OPERATOR, status)


CASES = [
    # failure, row, before, after
    (provider("connect"), "no connection", NEXT, RESCUE),
    (provider("tls"), "TLS", NEXT, RESCUE),
    (provider("timeout_connect"), "no connection in time", NEXT, RESCUE),
    (provider("timeout_first_event"), "no first event in time", NEXT, RESCUE),
    (provider("timeout_idle"), "stall between events", NEXT, RESCUE),
    (Failure("client_slow", Blame.CLIENT), "caller too slow", GIVE_UP, GIVE_UP),
    (provider("timeout_total"), "not whole in time", NEXT, RESCUE),
    (provider("reset"), "reset", NEXT, RESCUE),
    (provider("truncated"), "truncated", NEXT, RESCUE),
    (provider("malformed"), "malformed", NEXT, RESCUE),
    (provider("empty"), "empty", NEXT, RESCUE),
    (provider("in_stream_error", 500), "error in the answer", NEXT, RESCUE),
    (provider("in_stream_error", 529), "529", NEXT, RESCUE),
    (provider("in_stream_error", 429), "429 without a time", KEY, RESCUE),
    (provider("status", 500), "5xx", NEXT, RESCUE),
    (provider("status", 503, 5.0), "5xx", NEXT, RESCUE),
    (provider("status", 529), "529", NEXT, RESCUE),
    (provider("status", 408), "408, 409 and 424", NEXT, RESCUE),
    (provider("status", 409), "408, 409 and 424", NEXT, RESCUE),
    (provider("status", 429, 5.0), "429 with a time", KEY, RESCUE),
    (provider("status", 429), "429 without a time", KEY, RESCUE),
    (operator(401), "key, credit or access", KEY, RESCUE),
    (operator(402), "key, credit or access", KEY, RESCUE),
    (operator(403), "key, credit or access", KEY, RESCUE),
    (operator(429), "key, credit or access", KEY, RESCUE),
    (operator(400), "key, credit or access", KEY, RESCUE),
    (operator(404), "unknown there", NEXT, RESCUE),
    (operator(307), "unknown there", NEXT, RESCUE),
    (Failure("configuration", Blame.OPERATOR), "configuration", NEXT, RESCUE),
    (Failure("refused", Blame.CLIENT, 400), "refused by our translation", NEXT, RESCUE),
    (Failure("status", Blame.CLIENT, 400), "fault of the caller", TELL, GIVE_UP),
    (Failure("status", Blame.CLIENT, 413), "fault of the caller", TELL, GIVE_UP),
    (Failure("in_stream_error", Blame.CLIENT, 403), "fault of the caller", TELL, GIVE_UP),
    (Failure("status", Blame.CLIENT, 400, Fault("Invalid signature in thinking block")), "state of another account", FORGETTING, GIVE_UP),
    (provider("something new"), "anything else", NEXT, RESCUE),
]  # fmt: skip


@pytest.mark.parametrize(
    ("failure", "row", "before", "after"), CASES, ids=[f"{case[0].cause}-{case[0].status}" for case in CASES]
)
def test_each_cause_has_its_decision_before_and_after_the_commit(failure, row, before, after) -> None:
    assert row_of(failure, ALL).name == row
    assert decide(failure, ALL) is before
    assert decide(failure, BEGUN) is after


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0].cause}-{case[0].status}" for case in CASES])
def test_where_nothing_else_is_left_it_ends(case) -> None:
    failure, _, before, _ = case
    ends = before if before in (TELL, FORGETTING) else GIVE_UP
    assert decide(failure, NOTHING_LEFT) is ends
    assert decide(failure, BEGUN_ALONE) is GIVE_UP


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0].cause}-{case[0].status}" for case in CASES])
def test_for_a_caller_that_left_nothing_more_is_tried(case) -> None:
    assert decide(case[0], Situation(left=True, offers_left=True, keys_left=True)) is Decision.STOP


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0].cause}-{case[0].status}" for case in CASES])
def test_where_another_attempt_answers_nothing_more_is_tried(case) -> None:
    assert decide(case[0], Situation(other_answers=True, offers_left=True)) is Decision.OTHER_RUNS


def test_every_row_is_tried_here_and_says_why() -> None:
    tried = {row for _, row, _, _ in CASES} | {"refused continuation"}
    assert tried == {row.name for row in ROWS}
    assert all(row.why for row in ROWS)
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_without_another_key_a_limit_goes_to_the_next_offer() -> None:
    assert decide(provider("status", 429), Situation(offers_left=True)) is NEXT


def test_what_was_tried_without_earlier_reasoning_is_not_tried_so_again() -> None:
    foreign = Failure("status", Blame.CLIENT, 400, Fault("thought_signature is invalid"))
    assert decide(foreign, Situation(forgetting=True, offers_left=True)) is NEXT


@pytest.mark.parametrize("blame", list(Blame))
def test_a_provider_that_refuses_to_go_on_with_an_answer_says_nothing_of_the_caller(blame) -> None:
    going_on = Situation(committed=True, continuing=True, can_continue=True, offers_left=True)
    refused = Failure("status", blame, 400, Fault("prefill is not supported"))
    assert row_of(refused, going_on).name == "refused continuation"
    assert decide(refused, going_on) is RESCUE


def test_the_page_of_the_documentation_is_this_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "failing-over.md").read_text()
    for row in ROWS:
        before, after = (
            " or ".join(f"`{one.value}`" for one in side) or "`give_up`" for side in (row.before, row.after)
        )
        assert f"| {row.name} | {before} | {after} | {row.why} |\n" in page
    assert all(f"`{decision.value}`" in page for decision in Decision)
