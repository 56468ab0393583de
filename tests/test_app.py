"""The data plane's own parts: a reload beside running requests, servers on this machine, and what `/readyz` says."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.kept import CIPHER
from tests.fakes.services import gateway_of
from trunkline.app import Readiness, Reload
from trunkline.errors import StoreError
from trunkline.execution.gateway import Clock, Snapshot
from trunkline.execution.transport.client import HttpTransport
from trunkline.execution.transport.options import TransportOptions
from trunkline.records.journal import Journal
from trunkline.records.spool import Spool
from trunkline.records.types import Intent
from trunkline.records.writer import RecordWriter
from trunkline.settings import Settings, load_settings
from trunkline.snapshot import build_with_servers
from trunkline.storage.frames import Frames

DEADLINE_S = 20.0
FILE = """
[embedded]
enabled = false
[detect]
local_servers = {detect}
[providers.acme]
base_url = "http://127.0.0.1:9001"
auth = "none"
[[models]]
slug = "acme/{model}"
[[models.offers]]
provider = "acme"
protocols = ["openai.chat"]
"""


class Log:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.info = self.error = self.exception = self._say

    def _say(self, event: str, **more: Any) -> None:
        self.said.append(f"{event} {more}")


def full_batch() -> Any:
    raise StoreError("/var/lib/acme/trunkline.db: database or disk is full")


class Running:
    """A gateway without its sockets, over a configuration file."""

    def __init__(self, path: Path, env: dict[str, str]) -> None:
        settings = load_settings(path, {"TRUNKLINE_CACHE": str(path.parent / "cache"), **env})
        clock = Clock(lambda: 0.0, lambda: 0.0, lambda: "2026-11-24", lambda: "req_1")
        writer = RecordWriter(full_batch)
        self.gateway = gateway_of(build_with_servers(settings, {}), clock, sink=writer)
        self.at_taking_over: list[set[str]] = []
        self.log = Log()
        self.reload = Reload(
            self.put, settings, lambda _: self.at_taking_over.append(self.models), self.log, look_s=DEADLINE_S
        )

    def put(self, snapshot: Snapshot, settings: Settings) -> None:
        del settings
        self.gateway.snapshot = snapshot

    @property
    def models(self) -> set[str]:
        return {slug for slug in self.gateway.snapshot.catalog.models if slug.startswith(("acme/", "ollama/"))}

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - the state of another thread
                await asyncio.sleep(0.005)


@pytest.fixture
async def running(tmp_path: Path):
    made: list[Running] = []

    def running(detect: str = "false", **env: str) -> Running:
        (tmp_path / "t.toml").write_text(FILE.format(model="a", detect=detect))
        made.append(Running(tmp_path / "t.toml", env))
        return made[-1]

    yield running
    for one in made:
        await one.reload.stop()


@pytest.fixture
def pipe(tmp_path: Path):
    """A pipe in the file's place: reading it waits for its writer, so a test says when a file is read."""
    yield tmp_path / "t.toml"
    # Whoever still waits to read it finds it empty.
    os.close(os.open(tmp_path / "t.toml", os.O_RDWR | os.O_NONBLOCK))


async def written(pipe: Path) -> int:
    """The pipe's end for writing, once somebody reads."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with contextlib.suppress(OSError):
                return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            await asyncio.sleep(0.005)


async def test_a_file_is_read_beside_the_requests_and_the_one_of_the_last_signal_wins(running, pipe) -> None:
    one = running()
    pipe.unlink()
    os.mkfifo(pipe)
    one.reload.begin()
    first = await written(pipe)
    one.reload.begin()
    assert one.models == {"acme/a"}
    os.write(first, FILE.format(model="b", detect="false").encode())
    os.close(first)
    await one.until(lambda: one.models == {"acme/b"})
    second = await written(pipe)
    os.write(second, FILE.format(model="c", detect="false").encode())
    os.close(second)
    await one.until(lambda: one.models == {"acme/c"})
    assert one.at_taking_over == [{"acme/b"}, {"acme/c"}]


async def test_a_wrong_file_is_refused_and_the_next_one_is_taken(running, tmp_path) -> None:
    one = running()
    (tmp_path / "t.toml").write_text("[sever]")
    one.reload.begin()
    await one.until(lambda: any("reload refused" in line for line in one.log.said))
    assert (one.models, one.at_taking_over) == ({"acme/a"}, [])
    (tmp_path / "t.toml").write_text(FILE.format(model="b", detect="false"))
    one.reload.begin()
    await one.until(lambda: one.models == {"acme/b"})


class Ollama:
    """Answers as Ollama does, the first question only when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.go_on = asyncio.Event()
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        self.asked += 1
        if self.asked == 1:
            await self.go_on.wait()
        body = b"Ollama is running" if path == b"/" else b'{"models": [{"name": "m"}]}'
        writer.write(b"HTTP/1.0 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()


@pytest.fixture
async def ollama():
    made = Ollama()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    made.go_on.set()
    server.close()


async def test_a_reload_while_it_looks_for_servers_loses_none(running, ollama) -> None:
    one = running("true", OLLAMA_HOST=f"127.0.0.1:{ollama.port}")
    one.reload.look_around()
    await one.until(lambda: ollama.asked == 1)
    one.reload.begin()
    await one.until(lambda: one.models == {"acme/a", "ollama/m"})
    assert one.at_taking_over == [{"acme/a"}]


async def test_servers_that_were_found_stay_through_a_reload_and_go_when_they_are_not_wanted(
    running, ollama, tmp_path
) -> None:
    ollama.go_on.set()
    one = running("true", OLLAMA_HOST=f"127.0.0.1:{ollama.port}")
    one.reload.look_around()
    await one.until(lambda: "ollama/m" in one.models)
    one.reload.begin()
    await one.until(lambda: len(one.at_taking_over) == 1)
    (tmp_path / "t.toml").write_text(FILE.format(model="b", detect="false"))
    one.reload.begin()
    await one.until(lambda: len(one.at_taking_over) == 2)
    assert one.at_taking_over == [{"acme/a", "ollama/m"}, {"acme/b"}]


INTENT = Intent("req_1", 1.0, "acme/a:acme", "acme", "acme/a", "openai.chat", "key_1")


@pytest.fixture
async def http():
    made = HttpTransport(TransportOptions())
    yield made
    await made.aclose()


async def test_while_as_many_records_wait_as_may_it_is_not_ready(http) -> None:
    writer = RecordWriter(full_batch, max_queue=1)
    readiness = Readiness(writer, http, Log())
    before = readiness.state()
    assert (before["ready"], before["store"]["full"]) == (True, False)
    writer.intend(INTENT)
    state = readiness.state()
    assert (state["ready"], state["store"]["full"], state["store"]["last_error"]) == (False, True, "")


async def test_while_the_disk_takes_what_the_store_does_not_it_is_ready(http, tmp_path) -> None:
    """Else all gateways of one store would be taken out of their balancer at once, although each answers."""

    def away() -> Any:
        raise StoreError("away")

    spool = Spool(tmp_path, 10_000_000)
    writer = RecordWriter(away, journal=Journal(spool, Frames(CIPHER, tmp_path / "rejected")))
    readiness = Readiness(writer, http, Log())
    writer.start()
    writer.intend(INTENT)
    await asyncio.wait_for(writer.flushed(), DEADLINE_S)
    state = readiness.state()
    assert (state["ready"], state["store"]["last_error"]) == (True, "the store cannot be written; see the log")
    assert state["store"]["spooled_bytes"] > 0
    writer.stop()


async def test_a_store_that_cannot_be_written_is_told_to_all_and_its_path_to_the_log_alone(http) -> None:
    log, failed = Log(), threading.Event()

    def open_batch() -> Any:
        failed.set()
        return full_batch()

    writer = RecordWriter(open_batch)
    readiness = Readiness(writer, http, log)
    writer.start()
    writer.intend(INTENT)
    assert await asyncio.to_thread(failed.wait, DEADLINE_S)
    async with asyncio.timeout(DEADLINE_S):
        while not writer.stats().last_error:  # noqa: ASYNC110 - the state of another thread
            await asyncio.sleep(0.005)
    state = readiness.state()
    assert (state["ready"], state["store"]["last_error"]) == (False, "the store cannot be written; see the log")
    readiness.tell()
    readiness.tell()
    assert [line for line in log.said if "/var/lib/acme" in line] == log.said
    assert len(log.said) == 1
    with pytest.raises(StoreError):
        writer.stop(timeout_s=0.01)
