"""What is changed in the store while a gateway runs, seen through its own port: API keys, and the keys of providers that it keeps."""

import sqlite3
import time
from collections.abc import Iterator

import pytest

from tests.fakes.gateway import CHAT, GatewayProcess, base_toml, eventually, model_toml, start_gateway, upstream_name
from tests.fakes.upstream import Call, Script, Upstream, fails, says

MANAGEMENT = "/api/v1/management"
POOLED, SECOND, OWN = "sk-pooled-0123456789abcdef", "sk-second-0123456789abcdef", "sk-own-0123456789abcdef"
MODEL = "acme/kept"
NAME = upstream_name(MODEL)
WITHIN_S = 1.0


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("kept")
    # A provider of the operator's own that takes a key from a variable which is not set.
    config = [
        base_toml(folder),
        f'[providers.kept]\nname = "Kept"\nbase_url = "{upstream.url("kept")}"\nkey_env = ["KEPT_KEY"]\n',
        model_toml(MODEL, ("kept",)),
    ]
    made = start_gateway(folder, "\n".join(config))
    eventually(lambda: made.get(f"{MANAGEMENT}/keys").status == 200, "the console's readiness")
    yield made
    assert made.stop() == 0, made.log
    for secret in (POOLED, SECOND, OWN):
        assert secret not in made.log
        assert secret.encode() not in b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


@pytest.fixture(autouse=True)
def nothing_kept(kept: GatewayProcess, upstream: Upstream) -> Iterator[None]:
    upstream.plays("kept", NAME, says("hello"))
    yield
    for one in kept.get(f"{MANAGEMENT}/credentials").json["data"]:
        assert kept.request("DELETE", f"{MANAGEMENT}/credentials/{one['id']}").status == 200
    soon(lambda: kept.chat(MODEL).status != 200, "the end of every kept key")


def soon(condition, what: str) -> None:
    """Comes true within a second of now, and a little for the machine's load."""
    began = time.monotonic()
    eventually(condition, what)
    assert time.monotonic() - began < 3 * WITHIN_S


def keep(kept: GatewayProcess, secret: str, **fields) -> str:
    answer = kept.request("POST", f"{MANAGEMENT}/credentials", {"provider": "kept", "secret": secret} | fields)
    assert answer.status == 201, answer.body
    return answer.json["id"]


def api_key(kept: GatewayProcess, **fields) -> dict:
    answer = kept.request("POST", f"{MANAGEMENT}/keys", {"name": "app"} | fields)
    assert answer.status == 201, answer.body
    return answer.json


def ask(kept: GatewayProcess, key: str | None = None):
    return kept.request("POST", CHAT, {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}, key=key)


def sent(upstream: Upstream, since: int) -> list[str]:
    return [str(call.header("authorization")).removeprefix("Bearer ") for call in upstream.calls(NAME)[since:]]


def a_member(kept: GatewayProcess, id_: str, org_id: str = "org_default") -> str:
    with sqlite3.connect(kept.database) as store:
        store.execute(
            "INSERT OR IGNORE INTO members (id, org_id, email, name, role, created_ms) VALUES (?, ?, ?, '', 'member', 1)",
            (id_, org_id, f"{id_}@example.com"),
        )
    store.close()
    return id_


def test_a_kept_key_brings_the_provider_and_its_end_takes_it_away(kept, upstream):
    assert kept.chat(MODEL).status != 200
    id_ = keep(kept, POOLED)
    since = len(upstream.calls(NAME))
    soon(lambda: kept.chat(MODEL).status == 200, "an answer")
    assert sent(upstream, since) == [POOLED]
    kept.request("POST", f"{MANAGEMENT}/credentials/{id_}/rotate", {"secret": SECOND})
    soon(lambda: kept.chat(MODEL).status == 200 and sent(upstream, 0)[-1] == SECOND, "the new key")


def test_several_are_used_in_turn(kept, upstream):
    keep(kept, POOLED)
    keep(kept, SECOND)
    soon(lambda: kept.chat(MODEL).status == 200 and set(sent(upstream, 0)[-2:]) == {POOLED, SECOND}, "both")
    since = len(upstream.calls(NAME))
    for _ in range(4):
        assert kept.chat(MODEL).status == 200
    assert sorted(sent(upstream, since)) == sorted([POOLED, SECOND] * 2)


def test_it_stays_over_a_reload_of_the_file(kept):
    keep(kept, POOLED)
    soon(lambda: kept.chat(MODEL).status == 200, "an answer")
    reloads = kept.log.count('"event": "reloaded"')
    assert kept.trunkline("reload").returncode == 0
    eventually(lambda: kept.log.count('"event": "reloaded"') >= reloads + 2, "both processes' reload")
    assert kept.chat(MODEL).status == 200


def test_a_members_own_key_is_used_first_for_that_member_alone(kept, upstream):
    member = a_member(kept, "mem_alice")
    keep(kept, POOLED)
    keep(kept, OWN, member_id=member)
    theirs, others = api_key(kept, member_id=member)["secret"], api_key(kept)["secret"]
    soon(lambda: ask(kept, theirs).status == 200 and sent(upstream, 0)[-1] == OWN, "the member's own key")
    since = len(upstream.calls(NAME))
    answers = [ask(kept, key) for key in (theirs, others, theirs)]
    assert sent(upstream, since) == [OWN, POOLED, OWN]
    record = kept.record(answers[0].id)
    assert [one.key for one in record.attempts] == ["own"]
    assert any(note.startswith("byok") for note in record.notes)
    assert record.cost_pico_usd > 0
    assert not any(note.startswith("byok") for note in kept.record(answers[1].id).notes)


def refusing_own() -> Script:
    def script(call: Call) -> None:
        own = str(call.header("authorization")).endswith(OWN)
        (fails(401, "wrong key") if own else says("hello"))(call)

    return script


def test_where_the_own_key_is_refused_the_organisations_answers(kept, upstream):
    upstream.plays("kept", NAME, refusing_own())
    member = a_member(kept, "mem_bob")
    keep(kept, POOLED)
    keep(kept, OWN, member_id=member)
    theirs = api_key(kept, member_id=member)["secret"]
    soon(lambda: ask(kept, theirs).status == 200 and OWN in sent(upstream, 0)[-2:], "an answer after a refusal")
    assert kept.chat(MODEL).status == 200, "nobody else is held back by a member's wrong key"


def test_another_organisation_has_none_of_it(kept, upstream):
    org = kept.request("POST", f"{MANAGEMENT}/organisations", {"name": "Other"}).json["data"]["id"]
    theirs = api_key(kept, organisation=org)["secret"]
    keep(kept, POOLED)
    soon(lambda: kept.chat(MODEL).status == 200, "an answer")
    since = len(upstream.calls(NAME))
    assert ask(kept, theirs).status != 200
    assert sent(upstream, since) == []
    other = kept.request(
        "POST", f"{MANAGEMENT}/credentials", {"provider": "kept", "secret": SECOND, "organisation": org}
    ).json["id"]
    soon(lambda: ask(kept, theirs).status == 200, "an answer with their own")
    assert sent(upstream, 0)[-1] == SECOND
    assert kept.request("DELETE", f"{MANAGEMENT}/credentials/{other}").status == 200


def test_a_revoked_api_key_is_refused_within_a_second(kept):
    keep(kept, POOLED)
    key = api_key(kept)
    soon(lambda: ask(kept, key["secret"]).status == 200, "an answer")
    assert kept.request("DELETE", f"{MANAGEMENT}/keys/{key['id']}").status == 200
    soon(lambda: ask(kept, key["secret"]).status == 403, "the refusal")


def test_a_rotated_key_has_the_same_rules_and_the_old_one_ends_after_the_overlap(kept):
    keep(kept, POOLED)
    key = api_key(kept, rules={"models": [MODEL], "requests_per_minute": 1000})
    new = kept.request("POST", f"{MANAGEMENT}/keys/{key['id']}/rotate", {"overlap_s": 2}).json
    assert (new["rules"], new["rotated_from"]) == (key["rules"], key["id"])
    soon(lambda: ask(kept, new["secret"]).status == 200, "the new one")
    assert ask(kept, key["secret"]).status == 200
    eventually(lambda: ask(kept, key["secret"]).status == 403, "the end of the old one")
    assert ask(kept, new["secret"]).status == 200


def test_an_audit_entry_tells_each_change_and_no_secret(kept):
    id_ = keep(kept, POOLED, name="of alice@example.com")
    key = api_key(kept)
    kept.request("DELETE", f"{MANAGEMENT}/keys/{key['id']}")
    with sqlite3.connect(kept.database) as store:
        rows = store.execute("SELECT action, target, detail FROM audit ORDER BY number").fetchall()
    store.close()
    acts = [(action, target) for action, target, _ in rows]
    assert ("credential.create", id_) in acts
    assert acts.index(("key.create", key["id"])) < acts.index(("key.revoke", key["id"]))
    for secret in (POOLED, key["secret"], "alice@example.com"):
        assert secret not in repr(rows)
