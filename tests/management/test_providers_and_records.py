"""`/api/v1/management/providers` and `/records`, the API's description, and a reload of the console."""

import json
import signal

from trunkline.api.management.providers import operator_faults
from trunkline.records.types import Attempt, Record


def record(id_: str, received_ms: float, *attempts: Attempt) -> Record:
    return Record(id_, received_ms, received_ms + 1, "ok", 200, "openai.chat", "acme/alpha", attempts=attempts)


def attempt(status: int, outcome: str = "status") -> Attempt:
    return Attempt("acme", "acme/alpha:acme", "alpha", 1.0, 2.0, outcome=outcome, status=status, message="bad key")


def by_slug(client) -> dict:
    return {card["slug"]: card for card in client.get("/api/v1/management/providers").json()["data"]}


def test_a_provider_with_a_key_is_ready_and_one_without_names_the_variable(client):
    cards = by_slug(client)
    assert cards["acme"]["state"] == "ready"
    assert cards["acme"]["hosts"] == ["127.0.0.1:9001"]
    assert cards["openai"]["state"] == "absent"
    assert cards["openai"]["variables"] == ["OPENAI_API_KEY"]
    assert "OPENAI_API_KEY" in cards["openai"]["reason"]


def test_no_key_is_in_the_answer(client):
    assert "acme-secret-1" not in client.get("/api/v1/management/providers").text


def test_the_last_refusal_of_the_operators_key_is_shown(console, client):
    console.keep(record("req_fault", 5.0, attempt(401)))
    fault = by_slug(client)["acme"]["last_fault"]
    assert (fault["status"], fault["message"], fault["offer"]) == (401, "bad key", "acme/alpha:acme")
    console.keep(record("req_mended", 6.0, attempt(200, "ok")))
    assert by_slug(client)["acme"]["last_fault"] is None


def test_only_the_operators_faults_count():
    assert operator_faults([record("a", 1.0, attempt(429), attempt(500), attempt(404))]) == {}
    assert operator_faults([record("a", 1.0, attempt(402))])["acme"].status == 402


def test_records_come_page_by_page_newest_first(console, client):
    console.keep(*(record(f"req_page_{number}", 1_000_000.0 + number) for number in range(5)))
    seen: list[str] = []
    page = client.get("/api/v1/management/records", params={"limit": 2}).json()
    while page["next"] and len(seen) < 5:
        seen += [one["id"] for one in page["data"]]
        page = client.get("/api/v1/management/records", params={"limit": 2, "before": page["next"]}).json()
    assert seen[:4] == [f"req_page_{number}" for number in (4, 3, 2, 1)]


def test_a_limit_out_of_bounds_is_refused(client):
    assert client.get("/api/v1/management/records", params={"limit": 0}).status_code == 400


def test_the_api_describes_itself(client):
    paths = json.loads(client.get("/api/v1/management/openapi.json").text)["paths"]
    assert {"/api/v1/management/generation", "/api/v1/management/keys", "/api/v1/management/records"} <= paths.keys()
    assert "/" not in paths


def test_a_reload_takes_a_changed_file_over_and_a_bad_one_not(console, client):
    good = console.config.read_text()
    console.config.write_text(good.replace("Acme & Sons", "Acme Renamed"))
    console.process.send_signal(signal.SIGHUP)
    console.until("reloaded")
    assert by_slug(client)["acme"]["name"] == "Acme Renamed"

    # The store changes at the next start only; the rest of such a file is taken all the same.
    console.config.write_text(good.replace("Acme & Sons", "Acme Moved").replace("trunkline.db", "other.db"))
    console.process.send_signal(signal.SIGHUP)
    console.until("reloaded")
    assert by_slug(client)["acme"]["name"] == "Acme Moved"
    assert not (console.folder / "other.db.secrets").exists()

    console.config.write_text("[sever]")
    console.process.send_signal(signal.SIGHUP)
    console.until("reload refused")
    assert by_slug(client)["acme"]["name"] == "Acme Moved"
    console.config.write_text(good)
