"""Which of a provider's keys is used: in turn, but for those that rest."""

import pytest

from trunkline.catalog.types import Provider
from trunkline.execution.keys import LIMITED_REST_MOST_S, NO_KEY, REFUSED_REST_S, ProviderKeys
from trunkline.providers.accounts import Account


def account_of(*keys: str) -> Account:
    return Account(Provider("acme", "Acme"), {}, keys, trusted=True)


THREE = account_of("one", "two", "three")
OFFER, OTHER = "acme/alpha:acme", "acme/beta:acme"


@pytest.fixture
def keys() -> ProviderKeys:
    return ProviderKeys()


def taken(keys: ProviderKeys, count: int, now_s: float = 0.0, offer: str = OFFER) -> list[str | None]:
    return [keys.take(THREE, offer=offer, now_s=now_s).secret for _ in range(count)]


def refuse(
    keys: ProviderKeys, number: int, status: int, now_s: float = 0.0, retry_after_s: float | None = None
) -> bool:
    key = keys.take(THREE, number - 1, offer="unused", now_s=now_s)
    return keys.refused(THREE, key, OFFER, status, now_s, retry_after_s, limited=status == 429)


def test_keys_are_taken_in_turn(keys) -> None:
    assert taken(keys, 4) == ["one", "two", "three", "one"]


def test_an_only_key_has_no_name_and_never_rests(keys) -> None:
    account = account_of("one")
    key = keys.take(account)
    assert (key.secret, key.name) == ("one", "")
    keys.refused(account, key, OFFER, 429, 0.0, 60.0, limited=True)
    assert keys.take(account, offer=OFFER) is key
    assert keys.free_in_s(account, OFFER, 0.0) == 0
    assert not keys.has_other(account, OFFER, 0.0, (0,))


def test_a_provider_without_keys_needs_none(keys) -> None:
    assert keys.take(account_of()) is NO_KEY


def test_the_key_that_holds_a_cache_is_taken_and_nobody_loses_a_turn(keys) -> None:
    assert keys.take(THREE, 2, offer=OFFER).name == "#3"
    assert taken(keys, 1) == ["one"]


def test_a_key_that_is_not_there_any_more_is_not_wanted(keys) -> None:
    assert keys.take(THREE, 7, offer=OFFER).secret == "one"


@pytest.mark.parametrize("status", [401, 402, 403, 429])
def test_a_refused_key_is_passed_over_until_its_rest_is_over(keys, status) -> None:
    refuse(keys, 2, status, retry_after_s=30.0 if status == 429 else None)
    assert taken(keys, 3) == ["one", "three", "one"]
    assert keys.take(THREE, 1, offer=OFFER).secret != "two"
    assert "two" in taken(keys, 3, now_s=REFUSED_REST_S)


def test_a_limit_holds_for_its_offer_alone(keys) -> None:
    refuse(keys, 1, 429, retry_after_s=30.0)
    assert taken(keys, 2) == ["two", "three"]
    assert taken(keys, 1, offer=OTHER) == ["one"]


@pytest.mark.parametrize("status", [401, 402])
def test_a_key_that_is_wrong_or_without_credit_rests_everywhere(keys, status) -> None:
    refuse(keys, 1, status)
    assert "one" not in taken(keys, 3, offer=OTHER)


def test_a_limit_without_a_time_rests_longer_each_time_up_to_a_minute_and_a_success_ends_that(keys) -> None:
    rests = []
    account = account_of("one", "two")
    for _ in range(8):
        one = keys.take(account, 0, offer="unused")
        keys.refused(account, one, OFFER, 429, 0.0, None, limited=True)
        two = keys.take(account, 1, offer="unused")
        keys.refused(account, two, OFFER, 429, 0.0, None, limited=True)
        rests.append(keys.free_in_s(account, OFFER, 0.0))
    assert rests[:4] == [2.0, 4.0, 8.0, 16.0]
    assert rests[-1] == LIMITED_REST_MOST_S
    keys.good(account, one, OFFER)
    assert keys.free_in_s(account, OFFER, 0.0) == 0


def test_where_all_rest_the_one_that_does_so_longest_is_tried(keys) -> None:
    for number, at_s in ((2, 1.0), (1, 2.0), (3, 3.0)):
        refuse(keys, number, 429, at_s, 60.0)
    assert taken(keys, 1, now_s=4.0) == ["two"]
    assert keys.free_in_s(THREE, OFFER, 4.0) == 57.0


def test_what_was_tried_is_not_another_key(keys) -> None:
    assert keys.take(THREE, offer=OFFER, tried=(0, 1)).secret == "three"
    assert keys.has_other(THREE, OFFER, 0.0, (0, 1))
    assert not keys.has_other(THREE, OFFER, 0.0, (0, 1, 2))


def test_a_key_that_rests_is_not_another_key(keys) -> None:
    refuse(keys, 2, 401)
    refuse(keys, 3, 401)
    assert not keys.has_other(THREE, OFFER, 0.0, (0,))


def test_a_refusal_is_news_until_the_key_was_good_again(keys) -> None:
    assert refuse(keys, 1, 401)
    assert not refuse(keys, 1, 401, now_s=REFUSED_REST_S)
    keys.good(THREE, keys.take(THREE, 0, offer=OFFER, now_s=10 * REFUSED_REST_S), OFFER)
    assert refuse(keys, 1, 401, now_s=10 * REFUSED_REST_S)


def test_a_new_key_in_the_place_of_a_refused_one_does_not_rest(keys) -> None:
    refuse(keys, 1, 401)
    refuse(keys, 2, 401)
    mended = account_of("new", "two", "three")
    assert {keys.take(mended, offer=OFFER).secret for _ in range(3)} == {"new", "three"}


def test_no_secret_is_in_what_a_key_says_of_itself(keys) -> None:
    assert repr(keys.take(account_of("sk-secret", "sk-other"))) == "Key(name='#1')"


OWN = Account(Provider("acme", "Acme"), {}, ("mine", "one", "two"), trusted=True, own=1, whose="org_1 mem_1")


def test_a_members_own_key_is_used_before_the_others_until_it_is_refused(keys) -> None:
    first = keys.take(OWN, offer=OFFER)
    assert (first.secret, first.name, first.own) == ("mine", "own", True)
    assert keys.take(OWN, 2, offer=OFFER).secret == "mine", "even where another one holds a cache"
    assert keys.take(OWN, offer=OFFER, tried=(0,)).secret == "one"
    keys.refused(OWN, first, OFFER, 401, 0.0, None, limited=False)
    rest = [keys.take(OWN, offer=OFFER, now_s=1.0) for _ in range(2)]
    assert {key.secret for key in rest} == {"one", "two"}
    assert not any(key.own for key in rest)
    assert keys.take(OWN, offer=OFFER, now_s=REFUSED_REST_S).secret == "mine"


def test_what_rests_for_one_member_rests_for_nobody_else(keys) -> None:
    theirs = keys.take(OWN, offer=OFFER, tried=(0,))
    keys.refused(OWN, theirs, OFFER, 401, 0.0, None, limited=False)
    assert taken(keys, 3) == ["one", "two", "three"]


def test_an_only_key_that_is_a_members_own_says_so(keys) -> None:
    only = Account(Provider("acme", "Acme"), {}, ("mine",), trusted=True, own=1, whose="org_1 mem_1")
    assert (keys.take(only).name, keys.take(only).own) == ("own", True)
