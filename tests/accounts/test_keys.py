import msgspec
import pytest

from trunkline.accounts.keys import MASTER_ID, ApiKey, IssuedKey, KeyRing, hash_secret, is_valid, issue_key, new_secret

PEPPER = b"p" * 32
NOW_MS = 1_700_000_000_000


def fixed_bytes(count: int) -> bytes:
    return bytes(range(count))


def issue(**times: int) -> IssuedKey:
    return issue_key("alice", PEPPER, fixed_bytes, now_ms=NOW_MS, **times)


def ring(*keys: ApiKey) -> KeyRing:
    return KeyRing(PEPPER, master_key="the master key?", keys=keys)


def test_a_secret_has_the_prefix_and_is_url_safe_with_all_its_entropy():
    secret = new_secret(b"\xff" * 32)
    assert secret == "sk-tl-" + "_" * 42 + "8"


def test_a_secret_of_too_few_random_bytes_is_refused():
    with pytest.raises(ValueError, match="32 random bytes, not 31"):
        new_secret(b"x" * 31)


def test_the_hash_depends_on_pepper_and_secret_and_holds_neither():
    hashes = {hash_secret(pepper, secret) for pepper in (b"a" * 32, b"b" * 32) for secret in ("s", "t")}
    assert len(hashes) == 4
    assert all(len(hash_) == 64 for hash_ in hashes)


def test_a_key_is_found_by_its_secret():
    issued = issue()
    assert ring(issued.key).authenticate(issued.secret, NOW_MS) == issued.key


def test_a_key_shows_the_end_of_its_secret_and_no_repr_shows_more():
    issued = issue()
    assert issued.secret.endswith(issued.key.hint)
    assert len(issued.key.hint) == 4
    assert issued.secret not in repr(issued)


@pytest.mark.parametrize("secret", ["", "sk-tl-", "sk-tl-wrong", "\ud800", "ключ", "x" * 100_000])
def test_other_secrets_are_refused(secret):
    assert ring(issue().key).authenticate(secret, NOW_MS) is None


def test_the_hash_itself_is_no_secret():
    key = issue().key
    assert ring(key).authenticate(key.hash, NOW_MS) is None


def test_a_key_ends_at_its_expiry():
    issued = issue(expires_ms=NOW_MS + 10)
    keys = ring(issued.key)
    assert keys.authenticate(issued.secret, NOW_MS + 9.9) == issued.key
    assert keys.authenticate(issued.secret, NOW_MS + 10) is None


def test_a_revoked_key_is_refused_from_the_next_replace_on():
    issued = issue()
    keys = ring(issued.key)
    assert keys.authenticate(issued.secret, NOW_MS) is not None
    revoked = ApiKey("key_1", "alice", issued.key.hash, "hint", NOW_MS, revoked_ms=NOW_MS)
    keys.replace([revoked])
    assert keys.authenticate(issued.secret, NOW_MS) is None


def test_a_key_that_was_used_does_not_outlive_its_deletion_or_its_new_expiry():
    issued = issue()
    keys = ring(issued.key)
    assert keys.authenticate(issued.secret, NOW_MS) == issued.key
    keys.replace([msgspec.structs.replace(issued.key, expires_ms=NOW_MS)])
    assert keys.authenticate(issued.secret, NOW_MS) is None
    keys.replace([])
    assert keys.authenticate(issued.secret, NOW_MS - 1) is None


def test_a_secret_that_was_refused_is_known_as_soon_as_its_key_is():
    issued = issue()
    keys = ring()
    assert keys.authenticate(issued.secret, NOW_MS) is None
    keys.replace([issued.key])
    assert keys.authenticate(issued.secret, NOW_MS) == issued.key


def test_wrong_secrets_take_no_memory():
    keys = ring(issue().key)
    for number in range(100):
        keys.authenticate(f"sk-tl-{number}", NOW_MS)
    assert keys._proven == {}


def test_a_known_secret_is_hashed_once(monkeypatch):
    issued = issue()
    keys = ring(issued.key)
    keys.authenticate(issued.secret, NOW_MS)
    monkeypatch.setattr("trunkline.accounts.keys.hash_secret", None)
    assert keys.authenticate(issued.secret, NOW_MS) == issued.key


def test_a_key_is_valid_until_it_expires_or_is_revoked():
    states = [{}, {"expires_ms": NOW_MS + 1}, {"expires_ms": NOW_MS}, {"revoked_ms": NOW_MS - 1}]
    keys = [ApiKey("key_1", "alice", "hash", "hint", NOW_MS, **state) for state in states]
    assert [is_valid(key, NOW_MS) for key in keys] == [True, True, False, False]


def test_the_master_key_holds_whatever_keys_there_are():
    keys = ring()
    keys.replace([issue().key])
    found = keys.authenticate("the master key?", NOW_MS)
    assert found is not None
    assert found.id == MASTER_ID
