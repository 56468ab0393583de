"""A server of PostgreSQL that is killed, or answers no more, under load; then the gateway is killed as well. Nothing is lost or there twice."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.test_kill import DURABLE_AFTER_S, ROOT, lines_of, told_until_kill
from tests.fakes.kept import CIPHER
from tests.fakes.postgres_server import PostgresServer
from tests.fakes.records import a_record
from tests.fakes.stores import AnyStore
from trunkline.storage.gateway_store import WritingPlace, opened
from trunkline.storage.migrate import upgrade

MUCH = 100_000_000


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One that waits for its disk, and may be killed."""
    server = PostgresServer({})
    try:
        server.start()
        upgrade(server.url())
        yield server
    finally:
        server.remove()


def kill(server: PostgresServer) -> None:
    server.kill()


def stop_answering(server: PostgresServer) -> None:
    server.pause()


def come_back(server: PostgresServer, away: Callable[[PostgresServer], None]) -> None:
    if away is kill:
        server.start()
    else:
        server.go_on()


@pytest.mark.parametrize("away", [kill, stop_answering])
@pytest.mark.parametrize("is_back_before_the_kill", [True, False])
def test_each_answer_is_in_the_store_once(server, tmp_path, away, is_back_before_the_kill):
    store = AnyStore(server.url(), tmp_path)
    argv = [sys.executable, "-m", "tests.crash.spooling_process", server.url(), str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        lines = [process.stdout.readline()]
        assert lines.pop().startswith("interrupted 0")
        lines += lines_of(process, 0.3)
        away(server)
        lines += lines_of(process, 0.6)
        if is_back_before_the_kill:
            come_back(server, away)
            lines += lines_of(process, 0.6)
        told, killed = told_until_kill(process, lines)
    if not is_back_before_the_kill:
        come_back(server, away)
    ended_in_time = {number for number, at in told["end"].items() if at < killed - DURABLE_AFTER_S}
    begun_in_time = {number for number, at in told["intent"].items() if at < killed - DURABLE_AFTER_S}
    told_as_stored = set(range(max(told["stored"], default=-1) + 1))
    place = WritingPlace(server.url(), tmp_path / "trunkline", tmp_path / "spool", MUCH)
    with opened(place, CIPHER, lambda _: None) as held:
        records = {int(record.id[4:]): record for record in store.records()}
        answered = {number for number, record in records.items() if record.outcome == "ok"}
        assert ended_in_time | told_as_stored <= answered
        assert len(ended_in_time) > 100
        assert all(records[number] == a_record(number) for number in answered)
        assert begun_in_time <= set(records)
        assert held.interrupted == len(records) - len(answered)
        assert store.count("intents") == 0
    store.fold_what_was_left(time.time() * 1000)
    [(requests,)] = store.rows("SELECT sum(requests) FROM use_rollups WHERE width_s = 3600")
    assert requests == len(records)


def test_a_gateway_that_is_not_killed_brings_everything_over_by_itself(server, tmp_path):
    store = AnyStore(server.url(), tmp_path)
    argv = [sys.executable, "-m", "tests.crash.spooling_process", server.url(), str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        process.stdout.readline()
        lines = lines_of(process, 0.2)
        for _ in range(2):
            server.kill()
            lines += lines_of(process, 0.3)
            server.start()
        # So many come after the second outage that all of it is over.
        while any((Path(tmp_path) / "spool").glob("*/*.journal")):
            lines += lines_of(process, 0.1)
        told, _ = told_until_kill(process, lines)
    assert set(range(max(told["stored"]) + 1)) <= {int(record.id[4:]) for record in store.records()}
