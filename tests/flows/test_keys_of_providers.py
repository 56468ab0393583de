"""A provider with several keys: one that is refused rests, and another one is tried at the same offer before any other offer is."""

import pytest

from tests.fakes.chaos import KEYS, told
from tests.fakes.upstream import Call, Script, fails, says

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
REFUSALS = {401: "wrong key", 402: "Insufficient Balance", 403: "no access", 429: "slow down"}


def keys_of(model) -> list[str]:
    """The keys that came with the calls, as numbers from 1."""
    sent = [str(call.header("authorization")).removeprefix("Bearer ") for call in model.upstream.calls(model.name)]
    return [f"#{KEYS.index(key) + 1}" if key in KEYS else "other" for key in sent]


def refusing(*numbers: int, status: int, headers: dict[str, str] | None = None) -> Script:
    """Refuses these keys, from 1, and answers all others."""

    def script(call: Call) -> None:
        key = str(call.header("authorization")).removeprefix("Bearer ")
        refused = KEYS.index(key) + 1 in numbers
        (fails(status, REFUSALS[status], headers=headers) if refused else says("hello"))(call)

    return script


@STREAMED
@pytest.mark.parametrize("status", REFUSALS)
def test_another_key_is_tried_at_once_and_the_refused_one_rests(chaos, status, stream) -> None:
    model = chaos.keyed()
    model.plays(refusing(1, status=status), second=says("never asked"))
    answer = model.ask(stream=stream)
    assert model.text(answer, stream=stream) == "hello"
    record = model.record(answer)
    assert [(one.key, one.outcome, one.decision) for one in record.attempts] == [
        ("#1", "status", "other_key"),
        ("#2", "ok", ""),
    ]
    for _ in range(3):
        model.ask(stream=stream)
    assert keys_of(model) == ["#1", "#2", "#3", "#2", "#3"]


def test_only_when_every_key_is_refused_the_next_offer_is_tried(chaos) -> None:
    model = chaos.keyed()
    model.plays(refusing(1, 2, 3, status=401), second=says("from the second"))
    answer = model.ask()
    assert model.text(answer, stream=False) == "from the second"
    decisions = [(one.key, one.decision) for one in model.record(answer).attempts]
    assert decisions == [("#1", "other_key"), ("#2", "other_key"), ("#3", "next_offer"), ("", "")]
    # All rest now, so that offer goes behind the other.
    assert told(model.record(model.ask()).attempts) == [("second", "ok", "")]


def test_an_offer_rests_when_all_its_keys_do_for_as_long_as_the_first_of_them(chaos) -> None:
    model = chaos.keyed()
    model.plays(refusing(1, 2, 3, status=429, headers={"retry-after": "60"}), second=says("from the second"))
    model.ask()
    record = model.record(model.ask())
    assert told(record.attempts) == [("second", "ok", "")]
    (resting,) = [one for one in record.plan if one.rank is None]
    assert "asked to be left alone for" in resting.reason


def test_the_operator_is_told_once_of_a_key_that_is_refused(chaos) -> None:
    model = chaos.keyed()
    model.plays(refusing(2, status=401), second=says("never asked"))
    for _ in range(4):
        assert model.ask().status == 200
    line = model.gateway.logged(f"{model.slug}:{model.providers[0]}")
    assert '"key": "#2"' in line
    lines = [one for one in model.gateway.log.splitlines() if f"{model.slug}:{model.providers[0]}" in one]
    assert len(lines) == 1
    assert not any(key in model.gateway.log for key in KEYS)
