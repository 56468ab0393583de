"""The gateway as its users run it: `trunkline serve` as a process in a folder of its own, asked over real connections.

`start_gateway(folder, config)` -> `GatewayProcess`; the fixture `gateway` is one for the whole session over the
scripted `upstream` and the `simulated_server`. A test takes models of its own from `fresh`, so that no test's
failures, rests and latencies change the plan of another.
"""

import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.fakes.simulated import SimulatedProvider
from tests.fakes.upstream import Upstream
from trunkline.records.types import Record
from trunkline.storage.columns import RECORD_COLUMNS
from trunkline.storage.rows import read_record

MASTER_KEY = "sk-tl-master-of-the-tests-0123456789"
OPERATOR_KEY = "sk-operator-secret-0123456789abcdef"
DEADLINE_S = 30.0
CHAT = "/api/v1/chat/completions"


def eventually(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """The first true value of a condition that another process brings about."""
    until = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        pause.wait(0.01)
    raise AssertionError(f"{what} never came true")


class Answer:
    """An answer read to its end, or to where it broke."""

    def __init__(self, response: http.client.HTTPResponse, body: bytes, broken: bool = False) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = body
        self.broken = broken

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def id(self) -> str:
        return self.headers["x-request-id"]

    @property
    def text(self) -> str:
        return self.json["choices"][0]["message"]["content"]

    @property
    def events(self) -> list[Any]:
        """The data of a stream: objects, and the word [DONE]."""
        found = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return [json.loads(data) if data != "[DONE]" else data for data in found]

    @property
    def streamed_text(self) -> str:
        chunks = [event for event in self.events if isinstance(event, dict) and event.get("choices")]
        return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


class Open:
    """A stream under way. Its head has come."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        # The connection forgets its socket where the answer ends with it.
        self._socket = connection.sock
        self.response = response
        self.status = response.status
        self.id = response.headers["x-request-id"]

    def line(self) -> bytes:
        return self.response.readline()

    def event(self) -> bytes:
        """The next event or comment, with its blank line."""
        parts: list[bytes] = []
        while not parts or parts[-1] != b"\n":
            line = self.line()
            if not line:
                break
            parts.append(line)
        return b"".join(parts)

    def answer(self) -> Answer:
        """The rest, read to its end."""
        return _read(self.response)

    def leave(self) -> None:
        """Close the connection, as a client that is not interested any more, and wait until the gateway has seen it."""
        sock = self._socket
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65_536):
            pass
        self.response.close()
        self._connection.close()

    def leave_at_once(self) -> None:
        """Close the connection with what was not read still in it."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self.response.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.response.close()
        self._connection.close()


class GatewayProcess:
    """A running `trunkline serve`. Lives until `stop` or `kill`."""

    def __init__(self, folder: Path, config: str, env: dict[str, str], arguments: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.path = folder / "trunkline.toml"
        self.path.write_text(config)
        self.database = folder / "trunkline.db"
        self.log_path = folder / "log"
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV") if name in os.environ}
        self.env = kept | {"HOME": str(folder), "TRUNKLINE_MASTER_KEY": MASTER_KEY, "PYTHONUNBUFFERED": "1"} | env
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "trunkline.cli.main",
                    "serve",
                    "--config",
                    str(self.path),
                    "--port",
                    "0",
                    *arguments,
                ],
                cwd=folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self.port = self._ready()

    def _ready(self) -> int:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = re.search(rb"ready at https?://127\.0\.0\.1:(\d+)", line)
            if found:
                return int(found[1])
        self.process.stdout.close()
        self.process.wait(DEADLINE_S)
        raise AssertionError(f"the gateway did not start:\n{self.log}")

    @property
    def base_url(self) -> str:
        """What goes into an OpenAI client."""
        return f"http://127.0.0.1:{self.port}/api/v1"

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def logged(self, text: str) -> str:
        """The first log line with this text, once it is there."""
        return eventually(lambda: next((line for line in self.log.splitlines() if text in line), None), f"log {text!r}")

    # --- asking

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, key: str | None = None
    ) -> Answer:
        """Any request; a body that is no bytes goes as JSON. `key` None sends the master key, "" none."""
        connection, response = self._send(method, path, body, headers, key)
        with contextlib.closing(connection):
            return _read(response)

    def get(self, path: str, **more: Any) -> Answer:
        return self.request("GET", path, **more)

    def chat(self, model: str, message: str = "hi", *, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
        """A Chat Completions request with one message, unless `messages` are given."""
        return self.request("POST", CHAT, _chat(model, message, fields), headers)

    def stream(self, model: str, message: str = "hi", **fields: Any) -> Answer:
        """The same as a stream, read to its end."""
        return self.chat(model, message, stream=True, **fields)

    def open(self, model: str, message: str = "hi", *, headers: dict[str, str] | None = None, **fields: Any) -> Open:
        """A stream of which only the head was read."""
        connection, response = self._send("POST", CHAT, _chat(model, message, {"stream": True} | fields), headers, None)
        return Open(connection, response)

    @contextlib.contextmanager
    def begun(
        self, model: str, message: str = "hi", *, headers: dict[str, str] | None = None, **fields: Any
    ) -> Iterator[http.client.HTTPConnection]:
        """A request that was sent, and of whose answer nothing was read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        sent = {"authorization": f"Bearer {MASTER_KEY}", "content-type": "application/json"} | (headers or {})
        connection.request("POST", CHAT, json.dumps(_chat(model, message, fields)), sent)
        with contextlib.closing(connection):
            yield connection

    def _send(
        self, method: str, path: str, body: Any, headers: dict[str, str] | None, key: str | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        key = MASTER_KEY if key is None else key
        sent = ({"authorization": f"Bearer {key}"} if key else {}) | (headers or {})
        payload = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if payload is not None:
            sent = {"content-type": "application/json"} | sent
        connection.request(method, path, payload, sent)
        return connection, connection.getresponse()

    # --- what was kept

    def record(self, id_: str) -> Record:
        """The record of a request, once it is stored."""
        return eventually(lambda: next(iter(self._rows("id", id_)), None), f"a record of {id_}")

    def records(self, session_id: str) -> list[Record]:
        """All records of requests that came with this `x-session-id`, once there is one."""
        return eventually(lambda: self._rows("session_id", session_id), f"a record of session {session_id}")

    def _rows(self, column: str, value: str) -> list[Record]:
        query = f"SELECT {', '.join(RECORD_COLUMNS)} FROM records WHERE {column} = ? ORDER BY received_ms"
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return [read_record(row) for row in connection.execute(query, (value,))]

    @property
    def readyz(self) -> dict[str, Any]:
        state: dict[str, Any] = self.get("/readyz").json
        return state

    # --- its life

    @property
    def data_plane_pid(self) -> int:
        """The process that serves requests: the newest one that `serve` said it has started."""
        started = re.findall(r'"child": "data plane", "child_pid": (\d+)', self.log)
        return int(started[-1])

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def trunkline(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command of ours against this configuration."""
        return subprocess.run(
            [sys.executable, "-m", "trunkline.cli.main", *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def wait(self) -> int:
        return self.process.wait(DEADLINE_S)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def _chat(model: str, message: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": message}]} | fields


def _read(response: http.client.HTTPResponse) -> Answer:
    try:
        return Answer(response, response.read())
    except http.client.IncompleteRead as error:
        return Answer(response, error.partial, broken=True)


# --- its configuration

PRICE = (
    '[{ item = "prompt", unit = "perMTokens", value = "1.10" }, { item = "completion", unit = "perMTokens", value = "4.40" }, '
    '{ item = "input_cache_read", unit = "perMTokens", value = "0.275" }]'
)
FREE = (
    '[{ item = "prompt", unit = "perMTokens", value = "0" }, { item = "completion", unit = "perMTokens", value = "0" }]'
)
MODEL_KINDS: dict[str, tuple[int, str, str]] = {
    # kind: how many, keys of the model, keys of each of its two offers
    "plain": (300, "", ""),
    "hasty": (
        24,
        "",
        "deadlines = { connect_s = 0.4, first_event_s = 0.4, idle_s = 0.4, total_s = 5.0 }",
    ),
    "patient": (
        4,
        "",
        "deadlines = { connect_s = 0.4, first_event_s = 5.0, idle_s = 0.3, total_s = 3.0 }",
    ),
    "brief": (6, "", "deadlines = { connect_s = 0.4, first_event_s = 5.0, idle_s = 5.0, total_s = 0.4 }"),
    "abortable": (8, "", "abortable = true"),
    "small": (6, "context_tokens = 100\nmax_output_tokens = 50", ""),
    "choosy": (
        40,
        "reasoning = true",
        'supported_parameters = ["max_completion_tokens", "tools"]\nemulated_parameters = ["stop"]',
    ),
    "seeing": (4, 'context_tokens = 1_000\ninput = ["text", "image"]\nreasoning = true', ""),
}


def models_toml(author: str = "acme", most: int = 1_000) -> str:
    """Models enough for every test to have its own: `acme/KIND-N`, served by `first` and `second`; `most` of a kind."""
    lines: list[str] = []
    for kind, (count, model_keys, offer_keys) in MODEL_KINDS.items():
        for number in range(min(count, most)):
            lines += [model_toml(f"{author}/{kind}-{number}", ("first", "second"), model_keys, offer_keys)]
    return "\n".join(lines)


def model_toml(slug: str, providers: tuple[str, ...], model_keys: str = "", offer_keys: str = "") -> str:
    """One model with its offers."""
    offers = [offer_toml(slug, provider, offer_keys) for provider in providers]
    return "\n".join(["[[models]]", f'slug = "{slug}"', model_keys, *offers])


def offer_toml(slug: str, provider: str, keys: str = "") -> str:
    """One more offer of the model above it."""
    named = f'provider = "{provider}"\nupstream_model = "{upstream_name(slug)}"\nprotocols = ["openai.chat"]'
    return f"[[models.offers]]\n{named}\nprice = {PRICE}\n{keys}\n"


def upstream_name(slug: str) -> str:
    return slug.replace("/", "--")


def provider_toml(slug: str, base_url: str, key: str = OPERATOR_KEY, more: str = "") -> str:
    return f'[providers.{slug}]\nname = "{slug.title()}"\nbase_url = "{base_url}"\napi_key = "{key}"\n{more}\n'


def base_toml(folder: Path, *, server: str = "", gateway: str = "", routing: str = "spread = false") -> str:
    """What every gateway of these tests has: a store of its own, a known key, nothing of this machine, and no chance in its plans."""
    return f"""
[server]
drain_s = 10.0
{server}
[store]
url = "sqlite:///{folder}/trunkline.db"
[auth]
master_key = "env:TRUNKLINE_MASTER_KEY"
[gateway]
{gateway}
[routing]
{routing}
[embedded]
enabled = false
[detect]
local_servers = false
[pages]
public = true
"""


def o4_mini_toml(simulated: SimulatedProvider) -> str:
    """The seed's model at the two providers of the seed's page, both simulated."""
    parts = []
    for provider in ("openai", "azure"):
        url = simulated.url(f"{provider}-sim")
        parts.append(f'[providers.{provider}]\nbase_urls = {{ "openai.chat" = "{url}" }}\napi_key = "{OPERATOR_KEY}"\n')
    parts.append('[[models]]\nslug = "openai/o4-mini"\n')
    offers = [
        f'[[models.offers]]\nprovider = "{one}"\nshutdown_on = ""\nsimulated = true\n' for one in ("openai", "azure")
    ]
    return "\n".join([*parts, *offers])


def start_gateway(folder: Path, config: str, *arguments: str, **env: str) -> GatewayProcess:
    """A gateway that answers; `arguments` are more of `serve`'s. The caller stops it."""
    return GatewayProcess(folder, config, env, arguments)


class Fresh:
    """Hands out each model of the configuration once."""

    def __init__(self, gateway: GatewayProcess, upstream: Upstream, author: str = "acme") -> None:
        self.gateway = gateway
        self.upstream = upstream
        self._author = author
        self._numbers = {kind: itertools.count() for kind in MODEL_KINDS}

    def __call__(self, kind: str = "plain") -> str:
        """The slug of a model that no test has used."""
        number = next(self._numbers[kind])
        assert number < MODEL_KINDS[kind][0], f"there are no more {kind} models: raise MODEL_KINDS"
        return f"{self._author}/{kind}-{number}"


@pytest.fixture
def session_id() -> str:
    """For the header `x-session-id`, by which a test finds all its records."""
    return uuid.uuid4().hex
