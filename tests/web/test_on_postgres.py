"""The console over PostgreSQL: every page, with what several gateways stored."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest

from tests.fakes.console import MASTER_KEY, RunningConsole
from tests.fakes.operating import session_of, text_of
from tests.fakes.pages import UNKNOWN_ONLY, addresses, filled
from tests.fakes.postgres_server import PostgresServer, database, empty_postgres, postgres
from tests.fakes.stores import AnyStore
from tests.fakes.traffic import traffic
from trunkline.accounts.secrets_file import load_or_make
from trunkline.records.bodies import Body, Captured, CapturePolicy
from trunkline.records.types import Record
from trunkline.settings import load_settings
from trunkline.storage.bodies import Bodies
from trunkline.storage.body_files import days_of
from trunkline.storage.cipher import Cipher

__all__ = ["empty_postgres", "postgres"]

RECORDS = traffic(300, over_s=3 * 86_400, until_ms=time.time() * 1000)


@pytest.fixture(scope="module")
def console(postgres: PostgresServer, empty_postgres: str) -> Iterator[RunningConsole]:
    for url in database(postgres, empty_postgres):
        with tempfile.TemporaryDirectory(prefix="tl-") as folder:
            batch = AnyStore(url, Path(folder)).batch()
            batch.write(RECORDS, [], [])
            batch.fold(time.time() * 1000)
            batch.purge(time.time() * 1000, 10)
            batch.close()
            running = RunningConsole(Path(folder), url=url)
            yield running
            running.stop()


@pytest.fixture(scope="module")
def reader(console: RunningConsole) -> Iterator[httpx2.Client]:
    with console.client(None) as people:
        people.headers.update(session_of(people, MASTER_KEY))
        yield people


def answered() -> Record:
    return next(record for record in reversed(RECORDS) if record.outcome == "ok")


def test_every_page_is_shown(console: RunningConsole, reader: httpx2.Client) -> None:
    with console.client() as api:
        made = api.post("/api/v1/management/keys", json={"name": "alice"})
    assert made.status_code in (200, 201), made.text
    known = {"record": answered().id, "key": made.json()["id"]}
    shown = [path for address in addresses() if (path := filled(address, known)) and address not in UNKNOWN_ONLY]
    # Nothing was captured of the record: there is nothing to send again.
    answers = {path: reader.get(path).status_code for path in shown if not path.endswith(("/replay", "/curl"))}
    assert {path: status for path, status in answers.items() if status != 200} == {}


def test_pages_show_what_the_records_add_up_to(reader: httpx2.Client) -> None:
    assert "300" in text_of(reader.get("/platform/usage?days=7&metric=requests"))
    assert "PostgreSQL" in text_of(reader.get("/platform/settings"))


@pytest.mark.parametrize(
    "query", ["model=acme/beta", "outcome=failed", "app=acme", "protocol=openai.chat", "key=nobody"]
)
def test_logs_are_found_by_filter(reader: httpx2.Client, query: str) -> None:
    assert reader.get(f"/platform/logs?{query}").status_code == 200


def test_a_body_that_any_gateway_captured_is_shown(console: RunningConsole, reader: httpx2.Client) -> None:
    record = answered()
    pepper = load_or_make(load_settings(console.config, {"MASTER_KEY": MASTER_KEY}).secrets_path).pepper
    bodies = Bodies(days_of(console.url), Cipher(pepper), CapturePolicy("full", days=3650))
    body = Body("client_request", target="POST /v1", size_bytes=20, data=b'{"model": "my words"}')
    assert bodies.put(Captured(record.id, record.key_id, record.received_ms, (body,)))
    bodies.stored([record])
    bodies.close()
    assert "my words" in reader.get(f"/platform/logs/{record.id}/bodies/0").text


def test_what_is_stored_meanwhile_comes_to_the_tail(console: RunningConsole, reader: httpx2.Client) -> None:
    page = reader.get("/platform/logs").text
    mark = page.partition("mark=")[2].partition("&")[0].partition('"')[0]
    now_ms = time.time() * 1000
    [record] = traffic(1, over_s=1, until_ms=now_ms)
    console.keep(msgspec.structs.replace(record, id="req_new", received_ms=now_ms - 10, ended_ms=now_ms))
    assert "req_new" in reader.get(f"/platform/logs/tail?mark={mark}").text
