"""Passwords and the links that work once."""

import pytest

from trunkline.accounts.links import HOLDS_MS, email_of, link_hash, new_link
from trunkline.accounts.passwords import NOBODYS, fault_of, fits, hash_password, is_outdated


@pytest.mark.parametrize(
    ("password", "is_good"),
    [
        ("a" * 12, False),
        ("short", False),
        ("twelve chars", True),
        ("x" * 200 + "yz!", True),
        ("abcd" * 65, False),
        ("ünïcödé 密码", False),
        ("ünïcödé 密码 密码", True),
    ],
)
def test_a_password_is_long_and_nothing_else(password, is_good):
    assert (fault_of(password) == "") is is_good


def test_a_hash_is_of_one_password_with_the_parameters_of_the_rfc():
    hashed = hash_password("correct horse battery")
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert fits(hashed, "correct horse battery")
    assert not fits(hashed, "correct horse batterz")
    assert hashed != hash_password("correct horse battery")
    assert not is_outdated(hashed)


def test_what_is_no_hash_fits_nothing():
    for hashed in ("", "x", "$argon2id$v=19$m=65536,t=3,p=4$x$y"):
        assert not fits(hashed, "")


def test_nobodys_password_takes_the_same_parameters_and_fits_nothing():
    assert not is_outdated(NOBODYS)
    assert not fits(NOBODYS, "")


def test_a_hash_of_other_parameters_is_outdated():
    weak = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQxMjM$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ"
    assert is_outdated(weak)


def test_a_link_is_found_by_the_hash_of_its_token_alone():
    path, link = new_link("join", "mem_1", b"pepper", lambda count: b"r" * count, 1_000)
    token = path.removeprefix("/sign-in/join?token=")
    assert link.hash == link_hash(b"pepper", token) != link_hash(b"other", token)
    assert token not in repr(link)
    assert link.expires_ms == 1_000 + HOLDS_MS["join"]


@pytest.mark.parametrize(
    ("text", "email"),
    [
        (" Alice@Example.COM ", "alice@example.com"),
        ("alice", None),
        ("a@b", "a@b"),
        ("a b@c", None),
        ("<a@b>", None),
        ("a@b\nBcc: c@d", None),
        ("x" * 250 + "@b.cd", None),
    ],
)
def test_an_address_of_mail_is_kept_in_lower_case(text, email):
    assert email_of(text) == email
