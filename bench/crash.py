"""`python -m bench.crash [--rounds N]`: load, `kill -9` of the data plane in the middle of it, restart, and a look
into the store.

Holds where every answer that had ended more than 100 ms before the kill is there exactly once, every stream that had
begun by then and was cut has its `interrupted` record, no intent is left, and there are no more records than
requests. Exit code 1 where it does not.
"""

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from bench.client import Answer, Call
from bench.gateway import count, data_plane_pid, ids, store_path, version
from bench.measure import events_upstream
from bench.procs import allow_open_files, wait_ready
from bench.stacks import Running, Stack, trunkline_serve
from bench.types import Target

HERE = Path(__file__).resolve().parent
CONNECTIONS = 32
GRACE_S = 0.1
"""What ended less than this before the kill may be lost: it was in the batch that was being written."""


class Round(msgspec.Struct):
    """What clients saw until the kill."""

    sent: int = 0
    answers: list[Answer] = []
    killed_at: float = 0.0


async def client(target: Target, draw: random.Random, seen: Round) -> None:
    """Asks until the gateway is gone."""
    call = await Call.open(target)
    while call and not seen.killed_at:
        stream = draw.random() < 0.5
        text = f"bench events={draw.randrange(2, 400)} every_ms=3" if stream else "Say hello."
        seen.sent += 1
        answer = await call.ask(target, text, stream=stream)
        seen.answers.append(answer)
        if not call.usable:
            return


async def load_until_killed(target: Target, pid: int, after_s: float, seed: int) -> Round:
    seen = Round()
    clients = [asyncio.create_task(client(target, random.Random(seed * 1000 + n), seen)) for n in range(CONNECTIONS)]
    await asyncio.sleep(after_s)
    seen.killed_at = time.time()
    os.kill(pid, signal.SIGKILL)
    # Those that were cut by the kill end by themselves: their connections are gone with the process.
    async with asyncio.timeout(30):
        await asyncio.gather(*clients)
    return seen


def faults(seen: Round, before: int, store: Path) -> list[str]:
    """What the store has wrong about a round, in words. `before` is the number of records at its start."""
    known = ids(store)
    interrupted = ids(store, "outcome = 'interrupted'")
    limit = seen.killed_at - GRACE_S
    ended = {answer.id for answer in seen.answers if answer.ended and answer.ended_at < limit}
    cut = {answer.id for answer in seen.answers if not answer.ended and answer.id and answer.head_at < limit}
    lost, unaccounted = ended - known, cut - interrupted
    false_alarm = ended & interrupted
    records = count(store, "records") - before
    checks = (
        (ended, "no answer ended before the kill: nothing was tried"),
        (not lost, f"{len(lost)} of {len(ended)} ended answers are not in the store: {sorted(lost)[:5]}"),
        (
            not unaccounted,
            f"{len(unaccounted)} of {len(cut)} cut streams have no interrupted record: {sorted(unaccounted)[:5]}",
        ),
        (not false_alarm, f"{len(false_alarm)} ended answers are recorded as interrupted: {sorted(false_alarm)[:5]}"),
        (records <= seen.sent, f"{records} records for {seen.sent} requests"),
        (count(store, "intents") == 0, f"{count(store, 'intents')} intents are left"),
    )
    print(
        f"  {seen.sent} requests, {len(ended)} ended and {len(cut)} cut, {records} records, {len(interrupted)} interrupted in all"
    )
    return [words for held, words in checks if not held]


def crash_round(number: int, running: Running, store: Path, draw: random.Random) -> list[str]:
    """Kills the data plane under load; its supervisor starts it again."""
    before = count(store, "records")
    pid = data_plane_pid(running.child.pids())
    seen = uvloop.run(load_until_killed(running.target, pid, draw.uniform(0.5, 2.0), number))
    wait_for_another(running, pid)
    return faults(seen, before, store)


def wait_for_another(running: Running, killed: int) -> None:
    """Until a new data plane answers: the killed one's socket is the supervisor's, so the port stays open all the
    time."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        wait_ready(running.target.port, running.launch.ready_path, running.child)
        if data_plane_pid(running.child.pids()) != killed:
            return
        time.sleep(0.05)
    raise RuntimeError("the data plane was not started again within 30 s")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how often to kill it")
    parser.add_argument("--seed", type=int, default=1, help="of the load and of the moments of the kills")
    given = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    allow_open_files(20_000)
    folder = HERE / ".work" / "crash"
    shutil.rmtree(folder, ignore_errors=True)
    draw = random.Random(given.seed)
    broken: list[str] = []
    upstream_child, upstream = events_upstream(folder / "upstream", ())
    running = Running(
        Stack("Trunkline", version(), partial(trunkline_serve, abortable=("one",))), upstream, folder / "trunkline", ()
    )
    try:
        for number in range(1, given.rounds + 1):
            print(f"round {number} of {given.rounds}", flush=True)
            broken += [
                f"round {number}: {words}" for words in crash_round(number, running, store_path(running.folder), draw)
            ]
    finally:
        running.stop()
        upstream_child.stop()
    print("\n".join(f"BROKEN: {words}" for words in broken) or "Nothing that had to be kept was lost.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
