"""`/api/v1/management/credentials`: kept encrypted, shown never, replaced and revoked; repeated calls, wrong input, whose they are."""

import sqlite3

import pytest

from trunkline.accounts.types import StoredCredential
from trunkline.errors import StoreError
from trunkline.storage.credential_cipher import CredentialCipher

PATH = "/api/v1/management/credentials"
SECRET = "sk-a-key-of-acme-0123456789"


def kept(client, **fields) -> dict:
    answer = client.post(PATH, json={"provider": "acme", "name": "team", "secret": SECRET, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def sealed(console, id_: str) -> bytes:
    with sqlite3.connect(console.folder / "trunkline.db") as store:
        (found,) = store.execute("SELECT sealed FROM provider_credentials WHERE id = ?", (id_,)).fetchone()
    store.close()
    return found


def test_it_is_kept_and_listed_without_its_secret(client, console):
    card = kept(client)
    listed = client.get(PATH)
    assert [one["id"] for one in listed.json()["data"]] == [card["id"]]
    assert (card["provider"], card["hint"], card["state"]) == ("acme", SECRET[-4:], "in use")
    assert SECRET not in listed.text
    assert SECRET.encode() not in sealed(console, card["id"])
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in console.folder.glob("trunkline.db*"))


def test_a_revoked_one_is_deleted_and_no_more_listed(client, console):
    card = kept(client)
    assert client.delete(f"{PATH}/{card['id']}").json()["state"] == "revoked"
    assert sealed(console, card["id"]) == b""
    assert card["id"] not in client.get(PATH).text
    assert card["id"] in client.get(PATH, params={"revoked": True}).text
    assert client.post(f"{PATH}/{card['id']}/rotate", json={"secret": SECRET}).status_code == 400


def test_a_replaced_one_has_the_new_end(client, console):
    card = kept(client)
    before = sealed(console, card["id"])
    changed = client.post(f"{PATH}/{card['id']}/rotate", json={"secret": "sk-another-key-of-acme-9876"}).json()
    assert (changed["id"], changed["hint"]) == (card["id"], "9876")
    assert sealed(console, card["id"]) != before


def test_a_provider_without_a_key_is_ready_when_one_is_kept(client):
    def openai() -> dict:
        cards = client.get("/api/v1/management/providers").json()["data"]
        return next(one for one in cards if one["slug"] == "openai")

    assert openai()["state"] == "absent"
    card = kept(client, provider="OpenAI")
    assert (card["provider"], openai()["state"]) == ("openai", "ready")
    client.delete(f"{PATH}/{card['id']}")
    assert openai()["state"] == "absent"


def test_the_same_call_again_is_done_once(client):
    again = {"Idempotency-Key": "one"}
    body = {"provider": "acme", "name": "once", "secret": SECRET}
    first, second = (client.post(PATH, json=body, headers=again).json() for _ in range(2))
    assert first == second
    other = client.post(PATH, json={**body, "name": "other"}, headers=again)
    assert (other.status_code, other.json()["error"]["param"]) == (422, "Idempotency-Key")


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"provider": "opnai"}, "provider", "did you mean openai?"),
        ({"secret": "sk a key with blanks"}, "secret", "blanks"),
        ({"secret": "short"}, "secret", "at least 8"),
        ({"secret": "env:OPENAI_API_KEY"}, "secret", "names a variable"),
        ({"secret": "sk-\u00fcber-0123456789"}, "secret", "non-ASCII"),
        ({"nam": "x"}, "nam", "Extra inputs"),
    ],
)
def test_wrong_input_names_the_field_and_does_not_repeat_the_key(client, fields, param, said):
    answer = client.post(PATH, json={"provider": "acme", "secret": SECRET} | fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert said in answer.json()["error"]["message"]
    assert SECRET not in answer.text
    assert fields.get("secret", "sk-none") not in answer.text


def test_one_that_is_not_there_is_a_404(client):
    for method, path in (("GET", "cred_none"), ("DELETE", "cred_none"), ("POST", "cred_none/rotate")):
        body = {"secret": SECRET} if method == "POST" else None
        assert client.request(method, f"{PATH}/{path}", json=body).status_code == 404


def credential(**fields) -> StoredCredential:
    made = {
        "id": "cred_1",
        "org_id": "org_1",
        "member_id": "",
        "provider": "acme",
        "name": "",
        "hint": "",
        "created_ms": 1,
    }
    return StoredCredential(**made | {"created_by": "master"} | fields)


@pytest.mark.parametrize(
    "fields", [{"id": "cred_2"}, {"org_id": "org_2"}, {"member_id": "mem_1"}, {"provider": "openai"}]
)
def test_what_is_kept_is_of_use_in_its_own_row_alone(fields):
    cipher = CredentialCipher(b"p" * 32)
    text = cipher.seal(credential(), SECRET)
    assert cipher.open(credential(name="renamed"), text) == SECRET
    with pytest.raises(StoreError, match="cannot be decrypted"):
        cipher.open(credential(**fields), text)


def test_another_secrets_file_is_told_apart_from_a_changed_row():
    text = CredentialCipher(b"p" * 32).seal(credential(), SECRET)
    with pytest.raises(StoreError, match="not the one that it was stored with"):
        CredentialCipher(b"q" * 32).open(credential(), text)
    with pytest.raises(StoreError, match="its row was changed"):
        CredentialCipher(b"p" * 32).open(credential(), text[:-1] + bytes([text[-1] ^ 1]))
    assert SECRET not in repr(CredentialCipher(b"p" * 32))
