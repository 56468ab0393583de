"""The console tells its receivers of what it finds in the store, and ends credits; over real sockets."""

import json
import sqlite3
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest

from tests.fakes.console import CONFIG, RunningConsole
from tests.fakes.smtp import SmtpServer
from tests.fakes.used import a_use

ALERTS = """
[alerts]
webhook_url = "http://127.0.0.1:{port}/hook"
webhook_secret = "env:MASTER_KEY"
email_to = ["ops@example.com"]
smtp_url = "smtp://127.0.0.1:{mail}"
every_s = 0.05
"""


@pytest.fixture
def hooks():
    """What a webhook was told."""
    told = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def mail():
    server = SmtpServer()
    yield server
    server.stop()


@pytest.fixture
def console(hooks, mail):
    alerts = ALERTS.replace("{port}", str(hooks[0])).replace("{mail}", str(mail.port))
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder), CONFIG + alerts)
        yield running
        running.stop()


def change(console, statement, *values):
    connection = sqlite3.connect(console.folder / "trunkline.db")
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def a_key(console):
    with console.client() as client:
        answer = client.post("/api/v1/management/keys", json={"name": "laptop"}).json()
    return answer.get("id") or answer["data"]["id"]


def test_budgets_outages_and_missing_prices_are_told_once_to_everyone(console, hooks, mail):
    made = "INSERT INTO budgets (id, org_id, scope, scope_id, period, limit_pico_usd, created_ms, alerts) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    change(console, made, "bud_1", "org_default", "organisation", "org_default", "total", 10 * 10**12, 1, "[80,100]")
    key_id = a_key(console)
    console.keep(
        a_use(1, usd=9, key_id=key_id, unpriced=("audio",)), *(_failed(a_use(at, usd=0)) for at in range(10, 16))
    )
    for _ in range(6):
        console.until("alert told")
    told = hooks[1]
    assert sorted(one["type"] for one in told) == ["budget.threshold", "model.unpriced", "provider.outage"]
    assert {one["data"].get("percent") for one in told} == {80, None}
    assert len(mail.mails) == 3
    # Some more looks: nobody is told anything twice.
    console.keep(a_use(2, usd=1, key_id=key_id))
    for _ in range(2):
        console.until("alert told")
    assert [one["data"]["percent"] for one in told if one["type"] == "budget.threshold"] == [80, 100]
    assert (len(told), len(mail.mails)) == (4, 4)


def test_credit_whose_time_is_over_is_taken_out(console):
    with console.client() as client:
        body = {"amount_usd": "5", "kind": "bonus", "expires_at": "2099-01-01T00:00:00Z"}
        assert client.post("/api/v1/management/credits", json=body).status_code == 201
        change(console, "UPDATE wallets SET expires_ms = ?", int(time.time() * 1000) - 1)
        console.stop()
        again = RunningConsole(console.folder)
        again.until("credit has expired")
        with again.client() as later:
            assert later.get("/api/v1/management/credits").json()["data"]["left_usd"] == "0"
            kinds = [one["kind"] for one in later.get("/api/v1/management/credits/statement").json()["data"]]
        assert kinds == ["expiry", "bonus"]
        again.stop()


def _failed(record):
    (attempt,) = record.attempts
    return msgspec.structs.replace(record, attempts=(msgspec.structs.replace(attempt, outcome="status", status=503),))
