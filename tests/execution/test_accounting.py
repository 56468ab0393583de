"""What keys are held to, where the store and what is known of it here differ for a moment."""

from typing import Any

import pytest

from tests.fakes.records import a_record
from trunkline.accounts.keys import ApiKey
from trunkline.accounts.shared import Claim, Grant, Places
from trunkline.accounts.terms import KeyTerms
from trunkline.accounts.types import KeyRules
from trunkline.errors import AccessDenied, Overloaded, StoreError
from trunkline.execution.accounting import Accounting
from trunkline.execution.worst import Ceilings
from trunkline.shared.memory import InMemory


class Clock:
    def unix_ms(self) -> float:
        return 1_800_000_000_000.0


def key_of(id_: str, **rules: Any) -> ApiKey:
    return ApiKey(id_, "test", "", "", 0, rules=KeyRules(**rules))


@pytest.fixture
def accounting() -> Accounting:
    nobody: Any = None
    made: Any = Clock()
    return Accounting(InMemory(), nobody, made, Ceilings())


def test_a_key_that_was_revoked_a_moment_ago_is_refused_and_not_held_to_nothing(accounting) -> None:
    looks = []
    accounting.follow_now = lambda: looks.append(1)
    with pytest.raises(AccessDenied):
        accounting.of(key_of("revoked"))
    assert looks


def test_a_key_that_was_made_a_moment_ago_has_the_terms_that_the_store_tells(accounting) -> None:
    key = key_of("new", concurrency=1)
    found = KeyTerms(key, (), None)

    def follow() -> None:
        accounting.terms = {"new": found}

    accounting.follow_now = follow
    assert accounting.of(key) is found


def test_a_key_that_cannot_be_looked_up_has_to_wait(accounting) -> None:
    def away() -> None:
        raise StoreError("away")

    accounting.follow_now = away
    with pytest.raises(Overloaded):
        accounting.of(key_of("unknown"))


def test_a_key_without_terms_is_not_looked_up(accounting) -> None:
    def never() -> None:
        raise AssertionError

    accounting.follow_now = never
    accounting.terms = {"free": None}
    assert accounting.of(key_of("free")) is None


def test_what_an_interrupted_request_of_a_key_without_terms_held_is_let_go(accounting) -> None:
    record, places = a_record(1), Places("places:gone", 1)
    now_ms = accounting.clock.unix_ms()
    assert isinstance(accounting.state.claim(Claim(record.id, 0, 0, places=(places,)), now_ms), Grant)
    accounting.close(record)
    assert isinstance(accounting.state.claim(Claim("next", 0, 0, places=(places,)), now_ms), Grant)
