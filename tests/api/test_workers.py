"""Several data planes of one machine as one page of `/metrics`: those that answer, those that do not, and those that are gone."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from trunkline.api.workers import Workers
from trunkline.execution.transport.client import HttpTransport
from trunkline.execution.transport.options import TransportOptions

PAGE = b"# HELP asked_total Requests.\n# TYPE asked_total counter\nasked_total %d\n"


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    made = HttpTransport(TransportOptions(proxies={}, ca_file=""))
    yield made
    await made.aclose()


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Path]:
    """Another data plane, which has counted 5."""
    path = tmp_path / f"worker-2-{os.getpid()}.sock"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /metrics HTTP/1.1\r\n")
        page = PAGE % 5
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(page) + page)
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        yield path


def one_of(tmp_path: Path, transport: HttpTransport, number: int = 1, pid: int | None = None) -> Workers:
    return Workers(tmp_path / f"worker-{number}-{pid or os.getpid()}.sock", transport)


def ended_pid() -> int:
    """Of a process that is gone."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


async def test_one_that_never_had_others_is_alone(tmp_path, transport) -> None:
    assert one_of(tmp_path, transport).is_alone


async def test_another_that_answers_is_heard(tmp_path, transport, serving) -> None:
    workers = one_of(tmp_path, transport)
    assert not workers.is_alone
    assert [(bytes(page), page.is_gone) for page in await workers.pages()] == [(PAGE % 5, False)]


async def test_another_that_does_not_answer_counts_as_it_did_when_it_was_asked_last(tmp_path, transport) -> None:
    other = one_of(tmp_path, transport, 2)
    await other.keep(PAGE % 3)
    (tmp_path / f"worker-2-{os.getpid()}.sock").touch()
    pages = await one_of(tmp_path, transport).pages()
    assert [(bytes(page), page.is_gone) for page in pages] == [(PAGE % 3, True)]


async def test_those_that_answer_are_not_counted_by_their_files_too(tmp_path, transport, serving) -> None:
    await one_of(tmp_path, transport, 2).keep(PAGE % 4)
    workers = one_of(tmp_path, transport)
    await workers.keep(PAGE % 1)
    assert [bytes(page) for page in await workers.pages()] == [PAGE % 5]


async def test_those_that_are_gone_become_one_file_and_nothing_is_lost(tmp_path, transport) -> None:
    for count in (2, 3, 4):
        await one_of(tmp_path, transport, 2, ended_pid()).keep(PAGE % count)
    workers = one_of(tmp_path, transport)
    assert len(list(tmp_path.glob("counted-*"))) == 1
    pages = await workers.pages()
    assert [bytes(page) for page in pages] == [PAGE % 9]
    assert not workers.is_alone
