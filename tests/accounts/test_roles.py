"""What each role may do; and that the documentation says the same."""

import re
from pathlib import Path

import pytest

from trunkline.accounts.roles import ALLOWED, covers, demand, may, organisation_of, reach
from trunkline.accounts.types import DEFAULT_ORGANISATION, Actor
from trunkline.errors import AccessDenied, NotFound

PAGE = Path(__file__).parents[2] / "docs" / "roles.md"
MASTER = Actor("master", "master", "", "admin")
OPERATOR = Actor("member", "mem_1", "", "admin")
ADMIN = Actor("member", "mem_2", "", "admin", "org_2")
MEMBER = Actor("member", "mem_3", "", "member", "org_2")
KEY = Actor("key", "key_1", "", "admin", "org_2")


def test_the_documentation_has_the_same_table():
    rows = re.findall(r"^\| `([a-z.]+)` \| (.+) \| (\w+) \| (\w+) \| (\w+) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(act, row.words, row.member, row.admin, row.operator) for act, row in ALLOWED.items()]


@pytest.mark.parametrize("act", list(ALLOWED))
def test_nobody_may_more_than_those_above_them(act):
    order = ["none", "own", "organisation", "everything"]
    reaches = [order.index(reach(actor, act)) for actor in (MEMBER, ADMIN, OPERATOR, MASTER)]
    assert reaches == sorted(reaches)
    assert reach(KEY, act) == reach(ADMIN, act)
    assert reach(MASTER, act) == "everything"


@pytest.mark.parametrize(
    ("actor", "org_id", "member_id", "expected"),
    [
        (MASTER, "org_9", "", True),
        (ADMIN, "org_2", "mem_9", True),
        (ADMIN, DEFAULT_ORGANISATION, "", False),
        (OPERATOR, "org_2", "", False),
        (MEMBER, "org_2", "mem_3", True),
        (MEMBER, "org_2", "mem_2", False),
        (MEMBER, "org_2", "", False),
        (MEMBER, DEFAULT_ORGANISATION, "mem_3", False),
    ],
)
def test_keys_are_ones_own_ones_organisations_or_all(actor, org_id, member_id, expected):
    assert covers(actor, "keys", org_id, member_id) is expected


def test_a_member_without_an_id_owns_nothing():
    nobody = Actor("member", "", "", "member", "org_2")
    assert not covers(nobody, "keys", "org_2", "")


def test_what_may_not_be_done_at_all_is_denied_in_words():
    assert not may(MEMBER, "audit")
    with pytest.raises(AccessDenied, match="read the audit log"):
        demand(MEMBER, "audit")
    assert demand(ADMIN, "audit") == "organisation"


def test_only_the_master_key_chooses_an_organisation():
    assert organisation_of(MASTER, "org_9") == "org_9"
    assert organisation_of(MASTER, None) == DEFAULT_ORGANISATION
    assert organisation_of(ADMIN, "org_2") == organisation_of(ADMIN, None) == "org_2"
    for actor in (ADMIN, KEY, MEMBER, OPERATOR):
        with pytest.raises(NotFound):
            organisation_of(actor, "org_9")
