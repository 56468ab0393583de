"""kill -9 at a random moment, again and again. `CRASH_ROUNDS=100` for more than the short form."""

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes.records import a_record, an_intent, count
from trunkline.records.recovery import close_interrupted, recover
from trunkline.storage.migrate import upgrade
from trunkline.storage.queries import Store
from trunkline.storage.sqlite_batch import SqliteBatch

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "3"))
DURABLE_AFTER_S = 0.1
FOUND_MS = 2e12
ROOT = Path(__file__).parents[2]


def write_until_killed(path: Path, alive_s: float) -> tuple[dict[str, dict[int, float]], float]:
    """What the process told, by kind and number, and the moment of the kill."""
    argv = [sys.executable, "-m", "tests.crash.writing_process", str(path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        lines = [process.stdout.readline(), *lines_of(process, alive_s)]
        return told_until_kill(process, lines)


def lines_of(process: subprocess.Popen[str], for_s: float) -> list[str]:
    """What it says meanwhile."""
    lines: list[str] = []
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        lines.append(process.stdout.readline())
    return lines


def told_until_kill(process: subprocess.Popen[str], lines: list[str]) -> tuple[dict[str, dict[int, float]], float]:
    """Kill it; what it told in these lines and to its end."""
    killed = time.monotonic()
    process.kill()
    lines += process.communicate()[0].splitlines(keepends=True)
    assert process.returncode == -9
    told: dict[str, dict[int, float]] = {"intent": {}, "end": {}, "stored": {}}
    for line in lines:
        # The last line may be cut.
        if line.endswith("\n"):
            what, number, at = line.split()
            told[what][int(number)] = float(at)
    return told, killed


async def read_all(url: str) -> dict[int, object]:
    async with await Store.open(url) as store:
        return {int(record.id[4:]): record for record in await store.recent(1_000_000)}


def count_requests(path: Path) -> int:
    connection = sqlite3.connect(path)
    requests: int = connection.execute("SELECT sum(requests) FROM use_rollups WHERE width_s = 3600").fetchone()[0]
    connection.close()
    return requests


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_after_a_kill_every_record_is_there_exactly_once_and_open_requests_are_interrupted(tmp_path, round_):
    path = tmp_path / "trunkline.db"
    url = f"sqlite:///{path}"
    upgrade(url)
    told, killed = write_until_killed(path, random.Random(round_).uniform(0.2, 0.8))

    found = asyncio.run(read_all(url))
    ended_in_time = {number for number, at in told["end"].items() if at < killed - DURABLE_AFTER_S}
    told_as_stored = set(range(max(told["stored"], default=-1) + 1))
    assert ended_in_time, "the round was too short to show anything"
    assert ended_in_time | told_as_stored <= set(found)
    assert all(record == a_record(number) for number, record in found.items())
    assert count(path, "records") == len(found)
    assert count(path, "attempts") == 2 * len(found)

    batch = SqliteBatch(path)
    interrupted = {int(record.id[4:]): record for record in recover(batch, FOUND_MS)}
    assert recover(batch, FOUND_MS) == []
    while not batch.fold(FOUND_MS):
        pass
    batch.close()
    begun_in_time = {number for number, at in told["intent"].items() if at < killed - DURABLE_AFTER_S}
    assert begun_in_time <= set(found) | set(interrupted)
    assert not set(found) & set(interrupted)
    assert all(record == close_interrupted(an_intent(number), FOUND_MS) for number, record in interrupted.items())
    assert asyncio.run(read_all(url)) == found | interrupted
    assert count_requests(path) == len(found) + len(interrupted), "each is in the figures once"
