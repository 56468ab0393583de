"""The line in which an answer tells its plan: never too long, never outside ASCII, whatever the catalog holds."""

import json

from hypothesis import given
from hypothesis import strategies as st

from trunkline.execution.exchange import Exchange
from trunkline.execution.explain import MAX_ATTEMPTS_BYTES, MAX_PLAN_BYTES, plan_line, told
from trunkline.protocols.codec import CHAT
from trunkline.records.types import Attempt, Candidate

TEXTS = st.text(max_size=600)
CANDIDATES = st.lists(st.builds(Candidate, offer=TEXTS, rank=st.none() | st.integers(1, 50), reason=TEXTS), max_size=60)


@given(TEXTS, CANDIDATES)
def test_a_plan_is_one_short_line_of_json_in_ascii(model, candidates):
    line = plan_line(model[:80], candidates)
    assert len(line) <= MAX_PLAN_BYTES
    assert line.isascii()
    assert not set(line) & {10, 13}
    told = json.loads(line)
    assert len(told["candidates"]) + told.get("left_out", 0) == len(candidates)


def test_reasons_are_cut_before_candidates_are():
    told = json.loads(plan_line("m", [Candidate(f"m:{n}", n, "x" * 500) for n in range(1, 21)]))
    assert [one["rank"] for one in told["candidates"]] == list(range(1, 21))
    assert {len(one["reason"]) for one in told["candidates"]} == {160}


def test_those_to_be_tried_come_first_in_their_order():
    rows = [Candidate("m:c", None, "resting"), Candidate("m:b", 2), Candidate("m:a", 1)]
    assert [one["offer"] for one in json.loads(plan_line("m", rows))["candidates"]] == ["m:a", "m:b", "m:c"]


def test_the_line_of_attempts_has_an_end():
    exchange = Exchange("req_1", CHAT, 0.0, 0.0)
    exchange.attempts = [Attempt("a-provider", "o", "m", 0.0, outcome="reset")] * 500
    (header,) = told(exchange, False, 502)
    assert header[0] == b"x-trunkline-attempts"
    assert len(header[1]) <= MAX_ATTEMPTS_BYTES
