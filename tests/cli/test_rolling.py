"""Several data planes on one port: who takes callers, restarts one after the other, and readiness before a stop; over real servers and callers."""

import asyncio
import contextlib
import http.client
import os
import re
import signal
import threading
from pathlib import Path

import pytest

REST_S = 0.01
PROGRAM = str(Path(__file__).parent / "programs" / "rolled.py")


@pytest.fixture
def rolled(program, tmp_path):
    """Start servers on one port; the program, its port, and the processes."""

    def rolled(count: int = 2, how: str = "overlaps", pre_stop_s: float = 0):
        running = program(PROGRAM, str(tmp_path), str(count), how, str(pre_stop_s))
        return running, int(running.until(r"ready at (\d+)")[1])

    return rolled


def started(said: list[str]) -> list[int]:
    return [int(found[1]) for line in said if (found := re.search(r'"child": "data \d+", "child_pid": (\d+)', line))]


def ask(port: int) -> bytes:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as client:
        client.request("POST", "/", b"hello")
        return client.getresponse().read()


class Callers:
    """Ask without a pause over connections that are kept, until told to stop."""

    def __init__(self, port: int, count: int) -> None:
        self.answers: list[bytes] = []
        self.lost: list[str] = []
        self._port, self._stop = port, threading.Event()
        self._threads = [threading.Thread(target=lambda: asyncio.run(self._all(count)), daemon=True)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    async def _all(self, count: int) -> None:
        await asyncio.gather(*(self._one() for _ in range(count)))

    async def _one(self) -> None:
        while not self._stop.is_set():
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                while not self._stop.is_set() and await self._ask(reader, writer):
                    pass
            except (OSError, asyncio.IncompleteReadError) as error:
                self.lost.append(repr(error))
            finally:
                writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection may be used again."""
        writer.write(b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhello")
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(re.search(rb"content-length: (\d+)", head)[1])
        self.answers.append(await reader.readexactly(length))
        # Connections that rest for a moment are those that a stop could close under a request.
        await asyncio.sleep(REST_S)
        return b"connection: close" not in head


@pytest.mark.parametrize("how", ["overlaps", "one at a time"])
def test_a_restart_under_load_loses_no_request(rolled, how):
    running, port = rolled(2, how)
    callers = Callers(port, 16)
    running.send(signal.SIGUSR2)
    running.until('"event": "restarted"')
    callers.stop()
    assert callers.lost == []
    first, last = set(started(running.said)[:2]), set(started(running.said)[2:])
    answered = {int(answer) for answer in callers.answers}
    assert len(first) == len(last) == 2
    assert answered & first
    assert {int(ask(port)) for _ in range(20)} <= last
    assert running.stop() == 0


def test_callers_are_spread_over_all(rolled):
    running, port = rolled(2)
    assert {int(ask(port)) for _ in range(40)} == set(started(running.said))
    running.stop()


def test_a_killed_one_comes_back_while_the_others_answer(rolled):
    running, port = rolled(2)
    killed = started(running.said)[0]
    os.kill(killed, signal.SIGKILL)
    running.until(f'"child": "data 1", "code": -{int(signal.SIGKILL)}')
    running.until('"child": "data 1", "event": "ready"')
    answered = {int(ask(port)) for _ in range(40)}
    assert killed not in answered
    assert len(answered) == 2
    assert running.stop() == 0


def test_a_restart_that_cannot_start_leaves_the_old_ones_running(rolled, tmp_path):
    running, port = rolled(2)
    (tmp_path / "blocked").touch()
    running.send(signal.SIGUSR2)
    running.until("restart given up")
    assert {int(ask(port)) for _ in range(40)} == set(started(running.said)[:2])
    assert running.stop() == 0


def test_it_is_not_ready_before_it_takes_no_more_callers(rolled):
    running, port = rolled(1, pre_stop_s=30)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as kept:
        kept.request("POST", "/", b"hello")
        kept.getresponse().read()
        running.send(signal.SIGTERM)
        running.until("stopping")
        # What comes now is answered, and told to go elsewhere.
        for _ in range(500):
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as client:
                client.request("GET", "/readyz")
                if client.getresponse().status == 503:
                    break
        else:
            raise AssertionError("it stayed ready")
        kept.request("POST", "/", b"hello")
        answer = kept.getresponse()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    running.stop()
