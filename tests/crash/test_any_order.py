"""A PostgreSQL that is not there when gateways start, or start again: they wait, say so, and take requests once it is there."""

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.gateway import MASTER_KEY, base_toml, eventually
from tests.fakes.postgres_server import PostgresServer, free_port


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        yield server
    finally:
        server.remove()


class Serve:
    """`trunkline serve` on a port of its own. Lives until `stop`."""

    def __init__(self, folder: Path, url: str) -> None:
        self.port = free_port()
        self._log = folder / "log"
        (folder / "trunkline.toml").write_text(base_toml(folder))
        env = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV", "PYTHONPATH") if name in os.environ}
        env |= {"HOME": str(folder), "TRUNKLINE_MASTER_KEY": MASTER_KEY, "TRUNKLINE_STORE_URL": url}
        argv = [sys.executable, "-m", "trunkline.cli.main", "serve", "--port", str(self.port)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def get(self, path: str) -> tuple[int, bytes]:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            client.close()

    def is_ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def data_plane(self) -> int:
        return int(self.log.rpartition('"child": "data plane", "child_pid": ')[2].partition(",")[0])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def serve(server: PostgresServer, tmp_path: Path) -> Iterator[Serve]:
    made = Serve(tmp_path, server.url())
    yield made
    made.stop()


def test_a_gateway_that_starts_first_waits_for_its_store_and_says_so(server, serve):
    status, body = eventually(lambda: serve.get("/readyz") if serve.get("/readyz")[0] else None, "an answer")
    assert (status, b"the store is away" in body) == (503, True)
    assert serve.get("/healthz") == (200, b'{"status":"ok"}')
    assert serve.get("/api/v1/models")[0] == 503
    assert "waits for its store" in serve.log
    assert f"127.0.0.1:{server.port}" in serve.log
    server.start()
    eventually(serve.is_ready, "readiness")
    assert serve.get("/api/v1/models")[0] == 200


def test_while_it_waits_it_ends_when_it_is_told_to(serve):
    eventually(lambda: "waits for its store" in serve.log, "the wait")
    assert serve.stop() == 0


def test_a_data_plane_that_is_killed_while_the_store_is_away_comes_back_with_it(server, serve):
    server.start()
    eventually(serve.is_ready, "readiness")
    server.kill()
    os.kill(serve.data_plane(), signal.SIGKILL)
    eventually(lambda: b"the store is away" in serve.get("/readyz")[1], "the wait")
    # More looks than a data plane has starts that fail.
    eventually(lambda: serve.log.count('"event": "waits for its store"') >= 1, "the log")
    server.start()
    eventually(serve.is_ready, "readiness")
    assert serve.process.poll() is None
