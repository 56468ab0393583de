"""The gateway's life: it takes a changed file, drains when it is told to stop, and loses no record when it is killed."""

import contextlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.fakes.gateway import (
    CHAT,
    DEADLINE_S,
    MASTER_KEY,
    GatewayProcess,
    base_toml,
    eventually,
    model_toml,
    provider_toml,
    start_gateway,
    upstream_name,
)
from tests.fakes.upstream import DONE, Call, Script, Upstream, chunk, says, streams

TWO = [chunk({"content": "one"}), chunk({"content": "two"})]
IN_TWO_PARTS: Script = streams(TWO[0], Call.pause, TWO[1], chunk({}, finish="stop"), DONE)


def config_of(folder: Path, upstream: Upstream, *slugs: str, more: str = "") -> str:
    models = [model_toml(slug, ("first",)) for slug in slugs]
    return "\n".join([base_toml(folder), more, provider_toml("first", upstream.url("first")), *models])


@pytest.fixture
def alone(tmp_path: Path, upstream: Upstream, request: pytest.FixtureRequest) -> Iterator[GatewayProcess]:
    """A gateway that only this test has, with a model that only it knows."""
    slug = f"alone/{abs(hash(request.node.name))}"
    made = start_gateway(tmp_path, config_of(tmp_path, upstream, slug))
    made.slug, made.upstream_name = slug, upstream_name(slug)
    yield made
    made.stop()


def refused(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_sigterm_lets_streams_end_and_refuses_what_is_new(alone, upstream) -> None:
    upstream.plays("first", alone.upstream_name, IN_TWO_PARTS)
    with alone.open(alone.slug) as begun:
        assert begun.event() == TWO[0]
        alone.signal(signal.SIGTERM)
        eventually(lambda: refused(alone.port), "the refusal of new connections")
        upstream.call(alone.upstream_name).go_on()
        answer = begun.answer()
    assert answer.streamed_text == "two"
    assert answer.events[-1] == "[DONE]"
    assert alone.wait() == 0
    assert alone.record(begun.id).outcome == "ok"
    assert intents(alone) == 0


def test_a_stream_that_outlasts_the_drain_is_interrupted_and_recorded(tmp_path, upstream) -> None:
    upstream.plays("first", "alone--endless", streams(TWO[0], Call.stall))
    config = config_of(tmp_path, upstream, "alone/endless").replace("drain_s = 10.0", "drain_s = 1.0")
    gateway = start_gateway(tmp_path, config)
    with gateway.open("alone/endless") as begun:
        begun.event()
        assert gateway.stop() == 0
    record = gateway.record(begun.id)
    assert (record.outcome, record.usage.estimated) == ("interrupted", True)
    assert record.attempts[0].outcome == "interrupted"
    assert intents(gateway) == 0


def intents(gateway: GatewayProcess) -> int:
    with contextlib.closing(sqlite3.connect(gateway.database)) as connection:
        count: int = connection.execute("SELECT count(*) FROM intents").fetchone()[0]
        return count


def test_a_changed_file_is_taken_over_and_a_wrong_one_is_not(alone, upstream) -> None:
    upstream.plays("first", alone.upstream_name, IN_TWO_PARTS)
    upstream.plays("first", "alone--new", says("new here"))
    assert alone.chat("alone/new").status == 404
    with alone.open(alone.slug) as begun:
        begun.event()

        alone.path.write_text(config_of(alone.folder, upstream, "alone/new"))
        told = alone.trunkline("reload", "--config", str(alone.path))
        assert told.returncode == 0, told.stderr
        assert eventually(lambda: alone.chat("alone/new").status == 200, "the new model")
        assert alone.chat(alone.slug).status == 404

        alone.path.write_text(config_of(alone.folder, upstream, "alone/newer", more="[serwer]\n"))
        told = alone.trunkline("reload", "--config", str(alone.path))
        assert (told.returncode, "serwer" in told.stderr) == (2, True)
        alone.signal(signal.SIGHUP)
        assert "serwer" in alone.logged("reload refused")
        assert alone.chat("alone/new").status == 200
        assert alone.chat("alone/newer").status == 404

        upstream.call(alone.upstream_name).go_on()
        assert begun.answer().streamed_text == "two"


def test_a_reload_takes_over_the_master_key_and_origins_and_says_what_waits_for_a_start(alone, upstream) -> None:
    upstream.plays("first", alone.upstream_name, says("hello"))
    new_key, page = "sk-tl-another-master-0123456789", {"origin": "https://app.example.com"}
    body = {"model": alone.slug, "messages": [{"role": "user", "content": "hi"}]}
    assert alone.chat(alone.slug, headers=page).headers["access-control-allow-origin"] is None

    changed = alone.path.read_text().replace("env:TRUNKLINE_MASTER_KEY", new_key).replace("trunkline.db", "other.db")
    alone.path.write_text(changed.replace("[server]", '[server]\ncors_origins = ["https://app.example.com"]'))
    alone.signal(signal.SIGHUP)

    eventually(lambda: alone.request("POST", CHAT, body, key=new_key).status == 200, "the new master key")
    assert alone.chat(alone.slug).status == 403
    answer = alone.request("POST", CHAT, body, page, key=new_key)
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    # Console and data plane agree: the store stays where it is until the next start.
    path = f"/api/v1/management/generation?id={answer.id}"
    assert eventually(lambda: alone.get(path, key=new_key).status == 200, "the console's reload")
    assert alone.get(path).status == 403
    assert alone.record(answer.id).outcome == "ok"
    assert "store.url" in alone.logged("taken over at the next start only")


def test_what_was_answered_is_there_after_a_kill_and_what_was_open_is_closed(alone, upstream, session_id) -> None:
    upstream.plays("first", alone.upstream_name, says("hello"))
    upstream.plays("first", "alone--open", streams(TWO[0], Call.stall))
    alone.path.write_text(config_of(alone.folder, upstream, alone.slug, "alone/open"))
    alone.signal(signal.SIGHUP)
    eventually(lambda: alone.get("/api/v1/models/alone/open").status == 200, "the second model")
    hanging = alone.open("alone/open", headers={"x-session-id": session_id})
    hanging.event()

    answered: list[tuple[float, str]] = []
    killed = threading.Event()
    callers = [threading.Thread(target=ask_on, args=(alone, answered, killed)) for _ in range(4)]
    for caller in callers:
        caller.start()
    eventually(lambda: len(answered) > 150, "some load")
    killed_at = time.monotonic()
    os.kill(alone.data_plane_pid, signal.SIGKILL)
    killed.set()
    for caller in callers:
        caller.join()
    hanging.leave_at_once()

    # The supervisor starts another one on the same socket: no caller is refused.
    assert alone.chat(alone.slug).status == 200
    owed = {id_ for at, id_ in answered if at < killed_at - 0.1}
    assert len(owed) > 10
    with contextlib.closing(sqlite3.connect(alone.database)) as connection:
        stored = dict(connection.execute("SELECT id, outcome FROM records").fetchall())
    assert owed <= stored.keys()
    assert {stored[id_] for id_ in owed} == {"ok"}
    record = alone.record(hanging.id)
    assert (record.outcome, record.model) == ("interrupted", "alone/open")


def ask_on(gateway: GatewayProcess, answered: list[tuple[float, str]], killed: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while not killed.is_set():
            answer = gateway.chat(gateway.slug)
            answered.append((time.monotonic(), answer.id))


def test_with_a_certificate_it_speaks_tls_and_a_reload_takes_a_renewed_one(tmp_path: Path, upstream: Upstream) -> None:
    authority = issue(tmp_path)
    files = f'tls_cert = "{tmp_path}/cert.pem"\ntls_key = "{tmp_path}/key.pem"'
    upstream.plays("first", "alone--secret", says("hello"))
    config = config_of(tmp_path, upstream, "alone/secret").replace("drain_s = 10.0", f"drain_s = 1.0\n{files}")
    gateway = start_gateway(tmp_path, config)
    assert b"hello" in asked_over_tls(gateway.port, authority)

    renewed = issue(tmp_path)
    gateway.signal(signal.SIGHUP)
    gateway.logged('"reloaded"')
    assert b"hello" in eventually(lambda: asked_over_tls(gateway.port, renewed), "the renewed certificate")
    assert gateway.stop() == 0


def issue(folder: Path) -> trustme.CA:
    """Put a certificate of a new authority into the folder."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    return authority


def asked_over_tls(port: int, authority: trustme.CA) -> bytes:
    """A stream's bytes; nothing where the certificate is not of this authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    body = {"model": "alone/secret", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=DEADLINE_S)
    with contextlib.closing(connection), contextlib.suppress(ssl.SSLCertVerificationError):
        connection.request("POST", CHAT, json.dumps(body), {"authorization": f"Bearer {MASTER_KEY}"})
        return connection.getresponse().read()
    return b""


def test_without_a_usable_file_it_does_not_start_and_says_why(tmp_path: Path, upstream: Upstream) -> None:
    config = config_of(tmp_path, upstream).replace("drain_s = 10.0", 'drain_s = "soon"')
    with pytest.raises(AssertionError, match="did not start") as raised:
        start_gateway(tmp_path, config)
    assert "server.drain_s" in str(raised.value)
