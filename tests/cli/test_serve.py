"""`trunkline serve` whole: the real supervisor, data plane and console, over a real port."""

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.fakes.simulated import SimulatedProvider, simulated, simulated_server

__all__ = ["simulated", "simulated_server"]

MASTER_KEY = "sk-master-0123456789"
QUIET = "[embedded]\nenabled = false\n[detect]\nlocal_servers = false\n"
ACME = """
[auth]
master_key = "{key}"
[providers.acme]
base_url = "{url}"
api_key = "acme-secret-1"
[[models]]
slug = "acme/{model}"
[[models.offers]]
provider = "acme"
upstream_model = "o4-mini"
protocols = ["openai.chat"]
price = [ {{ item = "prompt", unit = "perMTokens", value = "1.10" }} ]
"""


def config(model: str = "alpha", url: str = "http://127.0.0.1:9", more: str = "") -> str:
    return more + QUIET + ACME.format(key=MASTER_KEY, url=url, model=model)


class Gateway:
    """A running `trunkline serve`."""

    def __init__(self, program, address: str) -> None:
        self.program = program
        self.port = int(address.rpartition(":")[2])

    @contextlib.contextmanager
    def open(self, method: str, path: str, body: object = None, **headers: str):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body) if body else None, headers)
            with connection.getresponse() as response:
                yield response

    def status(self, path: str, **headers: str) -> int:
        with self.open("GET", path, **headers) as response:
            return response.status

    def models(self) -> list[str]:
        with self.open("GET", "/api/v1/models") as response:
            return [model["id"] for model in json.load(response)["data"]]

    def wait_for_console(self) -> None:
        self.program.until('"child": "console", "event": "ready"')

    def until(self, ask: Callable[[], bool]) -> bool:
        """Ask until it is so; each question waits for an answer, so this is no busy loop on a clock."""
        return any(ask() for _ in range(500))

    def child(self, name: str) -> int:
        """The process id of the newest child of this name."""
        pids = re.findall(rf'"child": "{name}", "child_pid": (\d+)', "\n".join(self.program.said))
        return int(pids[-1])


@pytest.fixture
def serve(trunkline, tmp_path):
    """Start a gateway on a free port and wait until it is ready."""

    def serve(text: str | None = None, *options: str, **env: str) -> Gateway:
        (tmp_path / "t.toml").write_text(config() if text is None else text)
        running = trunkline("serve", "--config", "t.toml", "--port", "0", *options, **env)
        return Gateway(running, running.until(r"ready at (http\S+)")[1])

    return serve


def test_it_serves_models_and_pages_and_stops_clean(serve, tmp_path):
    gateway = serve()
    assert gateway.models() == ["acme/alpha"]
    gateway.wait_for_console()
    assert gateway.status("/", accept="text/html") == 200
    assert (tmp_path / "trunkline.db.pid").exists()
    assert gateway.program.stop() == 0
    assert not (tmp_path / "trunkline.db.pid").exists()
    said = "\n".join(gateway.program.said)
    assert not re.search(r"sk-|acme-secret|Traceback", said)
    with pytest.raises(ConnectionRefusedError):
        gateway.status("/healthz")


def test_a_killed_data_plane_comes_back_and_no_caller_is_refused(serve):
    gateway = serve()
    os.kill(gateway.child("data plane"), signal.SIGKILL)
    # Sent while there is no data plane: it waits in the socket that the supervisor holds. A connection that the killed
    # process had
    # taken already may be cut, so another one is made then.
    answers = []

    def asked() -> bool:
        try:
            answers.append(gateway.status("/readyz"))
        except (ConnectionResetError, http.client.RemoteDisconnected):
            return False
        return answers[-1] == 200

    assert gateway.until(asked)
    assert set(answers) == {200}


def test_a_killed_console_comes_back(serve):
    gateway = serve()
    gateway.wait_for_console()
    os.kill(gateway.child("console"), signal.SIGKILL)
    gateway.wait_for_console()
    assert gateway.status("/", accept="text/html") == 200


def test_no_process_outlives_a_killed_serve(serve):
    gateway = serve()
    waiting = [os.pidfd_open(gateway.child(name)) for name in ("data plane", "console")]
    gateway.program.stop(signal.SIGKILL)
    for fd in waiting:
        assert select.select([fd], [], [], 10)[0]
        os.close(fd)


def test_a_stream_ends_in_peace_while_new_callers_are_refused(serve, simulated: SimulatedProvider):
    gateway = serve(config(url=simulated.base_url))
    body = {
        "model": "acme/alpha",
        "stream": True,
        "messages": [{"role": "user", "content": "<<tokens 20>><<slow 30>>"}],
    }
    with gateway.open("POST", "/api/v1/chat/completions", body, authorization=f"Bearer {MASTER_KEY}") as stream:
        first = stream.readline()
        gateway.program.send(signal.SIGTERM)
        gateway.program.until("stopping")
        rest = stream.read()
    assert first.startswith(b"data: ")
    assert rest.rstrip().endswith(b"data: [DONE]")
    assert gateway.program.end() == 0
    with pytest.raises(ConnectionRefusedError):
        gateway.status("/healthz")


def test_a_changed_file_is_taken_over_and_a_bad_one_refused(serve, trunkline, tmp_path: Path):
    gateway = serve()
    (tmp_path / "t.toml").write_text(config("beta"))
    assert trunkline("reload", "--config", "t.toml").end() == 0
    assert gateway.until(lambda: gateway.models() == ["acme/beta"])

    (tmp_path / "t.toml").write_text("[server]\nprot = 1")
    refused = trunkline("reload", "--config", "t.toml")
    assert refused.end() == 2
    assert any("server.prot" in line for line in refused.said)

    gateway.program.send(signal.SIGHUP)
    gateway.program.until(r"server\.prot.*reload refused")
    assert gateway.models() == ["acme/beta"]


def test_a_restart_puts_new_processes_in_the_place_of_the_old(serve, trunkline):
    gateway = serve()
    gateway.wait_for_console()
    before = [gateway.child(name) for name in ("data plane", "console")]
    assert trunkline("restart", "--config", "t.toml").end() == 0
    gateway.program.until('"event": "restarted"')
    assert gateway.models() == ["acme/alpha"]
    assert gateway.status("/", accept="text/html") == 200
    assert not set(before) & {gateway.child(name) for name in ("data plane", "console")}
    assert gateway.program.stop() == 0


def test_a_port_that_is_taken_is_said_and_not_fought_over(trunkline, tmp_path):
    (tmp_path / "t.toml").write_text(config())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = trunkline("serve", "--config", "t.toml", "--port", port)
        assert refused.end() == 1
    assert refused.said == [
        f"trunkline: port {port} on 127.0.0.1 is in use by another program; stop it, or choose another with --port"
    ]


def test_one_store_has_one_gateway(serve, trunkline):
    first = serve()
    second = trunkline("serve", "--config", "t.toml", "--port", "0")
    assert second.end() == 1
    assert f"in use by process {first.program.process.pid}" in second.said[0]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("[server]\nprot = 1", (), "t.toml: server.prot: there is no such setting; did you mean port?"),
        ("[providers.acme]\napi_key = 'env:ACME_KEY'", (), "t.toml: providers.acme.api_key: the variable ACME_KEY"),
        (
            "[[models]]\nslug = 'acme/a'\naliases = ['a']\n[[models]]\nslug = 'acme/b'\naliases = ['a']",
            (),
            "'a' already means 'acme/a'",
        ),
        ("[store]\nurl = 'sqlite:////nowhere/t.db'", (), "store.url: /nowhere/t.db.pid cannot be written"),
        ("", ("--workers", "2"), "--workers: SQLite has one writer"),
    ],
)
def test_what_is_wrong_stops_the_start_in_one_line(trunkline, tmp_path, text, options, words):
    (tmp_path / "t.toml").write_text(text)
    refused = trunkline("serve", "--config", "t.toml", *options)
    assert refused.end() == 2
    assert len(refused.said) == 1
    assert words in refused.said[0]


def test_a_reload_without_a_gateway_says_how_to_start_one(trunkline, tmp_path):
    (tmp_path / "t.toml").write_text(config())
    refused = trunkline("reload", "--config", "t.toml")
    assert refused.end() == 1
    assert "start one with `trunkline serve`" in refused.said[0]


def test_with_tls_files_it_is_ready_over_https(serve, tmp_path):
    authority = trustme.CA()
    issued = authority.issue_cert("llm.example.com", "127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(tmp_path / "cert.pem", append=True)
    gateway = serve(config(more="[server]\ntls_cert = 'cert.pem'\ntls_key = 'key.pem'\n"))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    client = http.client.HTTPSConnection("127.0.0.1", gateway.port, timeout=20, context=trusting)
    with contextlib.closing(client):
        client.request("GET", "/healthz")
        assert client.getresponse().status == 200
