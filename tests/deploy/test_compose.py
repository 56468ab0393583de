"""compose.yaml, started without containers: PostgreSQL, Redis, two gateways of two data planes each, nginx. Callers notice nothing of what happens behind."""

import contextlib
import http.client
import importlib.util
import json
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.fakes.gateway import CHAT, eventually, model_toml, provider_toml
from tests.fakes.upstream import Upstream, says, upstream

__all__ = ["upstream"]

DEPLOY = Path(__file__).parents[2] / "deploy"
ASKED = {"model": "acme/alpha", "messages": [{"role": "user", "content": "hi"}]}


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "compose_without_containers", DEPLOY / "compose_without_containers.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def compose(upstream: Upstream) -> Iterator[Any]:
    upstream.plays("first", "acme--alpha", says())
    more = provider_toml("first", upstream.url("first")) + model_toml("acme/alpha", ("first",))
    # Not pytest's folder, which only its owner enters: PostgreSQL runs as somebody else.
    with tempfile.TemporaryDirectory(prefix="tl-compose-") as folder:
        made = script().Compose(Path(folder), more_toml="\n" + more)
        try:
            made.start()
            yield made
        finally:
            made.stop()


def ask(port: int, key: str, method: str = "POST", path: str = CHAT, body: Any = ASKED) -> tuple[int, bytes]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
        sent = json.dumps(body) if body is not None else None
        client.request(method, path, sent, {"authorization": f"Bearer {key}", "content-type": "application/json"})
        answer = client.getresponse()
        return answer.status, answer.read()


def door(compose: Any) -> int:
    port: int = compose.services["nginx"].port
    return port


def master_key(compose: Any) -> str:
    key: str = compose.variables["TRUNKLINE_MASTER_KEY"]
    return key


def log(service: Any) -> str:
    text: str = (service.folder / "log").read_text()
    return text


def test_what_is_started_is_what_the_file_says(compose: Any) -> None:
    text = script().VARIABLE.sub(lambda found: compose.variables[found[1]], (DEPLOY / "compose.yaml").read_text())
    services = yaml.safe_load(text)["services"]
    assert set(services) == set(compose.services)
    for name, service in compose.services.items():
        command = services[name].get("command", [])[0 if name.startswith("gateway") else 1 :]
        started = " ".join(service.argv)
        assert " ".join(command) in started, name
        assert service.process.poll() is None, log(service)
    for name in ("gateway-1", "gateway-2"):
        asked, given = services[name]["environment"], compose.services[name].env
        assert set(asked) <= set(given)
        for variable, value in asked.items():
            host = re.search(r"(postgres|valkey):\d+", value)
            here = value.replace(host[0], f"127.0.0.1:{compose.services[host[1]].port}") if host else value
            assert given[variable] == here


def test_requests_and_streams_pass_through_nginx(compose: Any) -> None:
    status, body = ask(door(compose), master_key(compose))
    assert status == 200
    assert b"hello" in body
    status, body = ask(door(compose), master_key(compose), body=ASKED | {"stream": True})
    assert status == 200
    assert body.rstrip().endswith(b"data: [DONE]")


def test_a_key_that_one_gateway_makes_holds_at_both(compose: Any) -> None:
    first, second = (compose.services[name].port for name in ("gateway-1", "gateway-2"))
    path = "/api/v1/management/keys"
    eventually(lambda: ask(first, master_key(compose), "GET", path, None)[0] == 200, "the first console")
    status, body = ask(first, master_key(compose), "POST", path, {"name": "team"})
    assert status == 201, body
    secret = json.loads(body)["secret"]
    assert ask(second, secret)[0] == 200
    assert ask(first, secret)[0] == 200


def test_a_record_of_one_gateway_is_seen_at_the_other(compose: Any) -> None:
    first, second = (compose.services[name].port for name in ("gateway-1", "gateway-2"))
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", first, timeout=30)) as client:
        client.request("POST", CHAT, json.dumps(ASKED), {"authorization": f"Bearer {master_key(compose)}"})
        answer = client.getresponse()
        answer.read()
        id_ = answer.headers["x-request-id"]
    path = f"/api/v1/generation?id={id_}"
    eventually(lambda: ask(second, master_key(compose), "GET", path, None)[0] == 200, "the record at the other gateway")


class Load:
    """Callers through nginx, each asking again as soon as it is answered. Lives until `stop`."""

    def __init__(self, compose: Any, count: int = 6) -> None:
        self.statuses: list[int] = []
        self.lost: list[str] = []
        self._compose, self._stop = compose, threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                self.statuses.append(ask(door(self._compose), master_key(self._compose))[0])
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def test_a_rolling_restart_of_a_gateway_under_load_loses_nothing(compose: Any) -> None:
    gateway = compose.services["gateway-1"]
    restarts = log(gateway).count('"event": "restarted"')
    load = Load(compose)
    gateway.process.send_signal(signal.SIGUSR2)
    eventually(lambda: log(gateway).count('"event": "restarted"') > restarts, "the restart")
    load.stop()
    assert load.lost == []
    assert set(load.statuses) == {200}


def test_a_gateway_that_is_stopped_and_started_again_under_load_loses_nothing(compose: Any) -> None:
    """As a new version is brought out: one replica after the other."""
    gateway = compose.services["gateway-2"]
    load = Load(compose)
    compose.end(gateway)
    compose.start_gateway(gateway)
    eventually(lambda: "ready at" in log(gateway).rpartition('"event": "stopping"')[2], "the new gateway")
    load.stop()
    assert load.lost == []
    assert set(load.statuses) == {200}


def test_a_killed_data_plane_comes_back_and_the_door_stays_open(compose: Any) -> None:
    gateway = compose.services["gateway-1"]
    pids = re.findall(r'"child": "data plane 1", "child_pid": (\d+)', log(gateway))
    ready = log(gateway).count('"child": "data plane 1", "event": "ready"')
    os.kill(int(pids[-1]), signal.SIGKILL)
    assert ask(door(compose), master_key(compose))[0] == 200
    eventually(lambda: log(gateway).count('"child": "data plane 1", "event": "ready"') > ready, "the new data plane")
    assert ask(door(compose), master_key(compose))[0] == 200
