"""kill -9 while states are kept: what was handed over more than 100 ms before is there, with the records of its time. `CRASH_ROUNDS=100` for more."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.crash.test_kill import DURABLE_AFTER_S, ROOT, ROUNDS
from tests.fakes.kept import CIPHER, NOW_MS, a_kept
from tests.fakes.records import count
from trunkline.storage.kept import KeptReader
from trunkline.storage.migrate import upgrade


def keep_until_killed(path: Path, alive_s: float) -> tuple[dict[str, dict[int, float]], float]:
    """What the process told, by kind and number, and the moment of the kill."""
    argv = [sys.executable, "-m", "tests.crash.keeping_process", str(path)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    lines = [process.stdout.readline()]
    began = time.monotonic()
    while time.monotonic() < began + alive_s:
        lines.append(process.stdout.readline())
    killed = time.monotonic()
    process.kill()
    lines += process.communicate()[0].splitlines(keepends=True)
    told: dict[str, dict[int, float]] = {"kept": {}, "forgotten": {}}
    for line in lines:
        # The last line may be cut.
        if line.endswith("\n"):
            what, number, at = line.split()
            told[what][int(number)] = float(at)
    return told, killed


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_after_a_kill_what_was_kept_in_time_is_there_in_its_newest_form(tmp_path, round_):
    path = tmp_path / "trunkline.db"
    upgrade(f"sqlite:///{path}")
    told, killed = keep_until_killed(path, random.Random(round_).uniform(0.2, 0.8))

    numbers = range(max(told["kept"]) + 2)
    reader = KeptReader(f"sqlite:///{path}", CIPHER)
    found = {int(kept.key[4:]): kept for kept in reader.find([f"key {number}" for number in numbers], NOW_MS)}
    reader.close()
    in_time = {number for number, at in told["kept"].items() if at < killed - DURABLE_AFTER_S}
    forgotten_in_time = {number for number, at in told["forgotten"].items() if at < killed - DURABLE_AFTER_S}
    assert in_time, "the round was too short to show anything"
    assert in_time - set(told["forgotten"]) <= set(found)
    assert not forgotten_in_time & set(found)
    # A batch may end between the two forms; whoever is there is one of them, and in time it is the newest.
    assert all(found[number] == a_kept(f"key {number}", b"new %d" % number) for number in in_time & set(found))
    assert count(path, "kept") == len(found)
    # The record came after what is kept with it, so it is never there alone.
    assert count(path, "records") <= len(set(found) | set(told["forgotten"]))
