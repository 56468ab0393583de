"""`python -m bench.soak [--short]`: requests, streams and clients that leave, for minutes, against Trunkline over the
bench's upstream.

After each of several rounds of load the gateway is left in peace and looked at: memory, descriptors, sockets,
threads. What it has grown by since the first round is reported and held against bounds, and the records in its store
against the requests sent. Exit code 1 where one is broken.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from bench.client import Answer, Call
from bench.gateway import count, data_plane_pid, ids, store_path, version
from bench.measure import events_upstream
from bench.procs import allow_open_files, memory
from bench.stacks import Running, Stack, trunkline_serve
from bench.types import Target

HERE = Path(__file__).resolve().parent
CONNECTIONS = 40
IDLE_POOL = 256
"""Kept-alive connections to a provider that may lie idle. More than clients, since the answers that clients left are
read on for a while."""
HALF = "left in mid-request"
_QUIET_S = 10.0


class Length(msgspec.Struct, frozen=True):
    """Rounds of so many seconds; the first is the warm-up. Growth after it is bounded by `grown_mb`: allocators need
    time to settle."""

    rounds: int
    round_s: float
    grown_mb: float


FULL = Length(rounds=10, round_s=58.0, grown_mb=15.0)
SHORT = Length(rounds=4, round_s=4.0, grown_mb=25.0)


class Look(msgspec.Struct, frozen=True):
    """The data plane at rest."""

    rss_mb: float
    descriptors: int
    """Without sockets to clients and to the upstream."""
    client_sockets: int
    upstream_sockets: int
    threads: int


class Tally(msgspec.Struct):
    """What the clients did and saw, counted up while the soak runs."""

    sent: int = 0
    kinds: Counter[str] = msgspec.field(default_factory=Counter)
    seen: set[str] = msgspec.field(default_factory=set)
    wrong: Counter[str] = msgspec.field(default_factory=Counter)


async def one(target: Target, call: Call, draw: random.Random, tally: Tally) -> None:
    """One thing that a client does, drawn by chance."""
    chance = draw.random()
    if chance < 0.03:
        tally.kinds[HALF] += 1
        call.leave_in_mid_request(target)
        return
    tally.sent += 1
    if chance < 0.60:
        note_whole("request", await call.ask(target, "Say hello.", stream=False), 0, tally)
    elif chance < 0.85:
        events = draw.randrange(1, 60)
        text = f"bench events={events} every_ms={draw.choice((1, 2, 5))}"
        note_whole("stream", await call.ask(target, text, stream=True), events, tally)
    else:
        text = "bench events=2000 every_ms=2"
        note_left(await call.ask(target, text, stream=True, leave_after=draw.randrange(1, 40)), tally)


def note_whole(kind: str, answer: Answer, events: int, tally: Tally) -> None:
    tally.kinds[kind] += 1
    tally.seen.add(answer.id)
    if not answer.ended or answer.status != 200 or answer.events < events:
        tally.wrong[f"{kind}: status {answer.status}, {'whole' if answer.ended else 'cut'}, {answer.text[-80:]!r}"] += 1


def note_left(answer: Answer, tally: Tally) -> None:
    tally.kinds["stream left by its client"] += 1
    tally.seen.add(answer.id)
    if answer.status != 200 or answer.ended:
        tally.wrong[f"left stream: status {answer.status}"] += 1


async def client(target: Target, draw: random.Random, tally: Tally, until: float) -> None:
    """Keeps its connection as long as it can, as SDKs do."""
    call = None
    while time.monotonic() < until:
        if call is None or not call.usable:
            call = await Call.open(target)
        if call is None:
            tally.wrong["connection refused"] += 1
            return
        await one(target, call, draw, tally)
    if call:
        call.close()


async def load(target: Target, seconds: float, seed: int, tally: Tally) -> None:
    until = time.monotonic() + seconds
    await asyncio.gather(*(client(target, random.Random(seed * 1000 + n), tally, until) for n in range(CONNECTIONS)))


def look(pid: int, port: int, upstream_port: int) -> Look:
    """What the process holds now, from /proc."""
    links = list(_descriptors(pid))
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    clients = upstreams = 0
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] not in inodes or fields[3] == "0A":
            continue
        clients += int(fields[1].partition(":")[2], 16) == port
        upstreams += int(fields[2].partition(":")[2], 16) == upstream_port
    return Look(
        rss_mb=round(memory([pid]).rss_mb, 1),
        descriptors=len(links) - clients - upstreams,
        client_sockets=clients,
        upstream_sockets=upstreams,
        threads=len(os.listdir(f"/proc/{pid}/task")),
    )


def _descriptors(pid: int) -> Iterator[str]:
    """What each descriptor of the process is; one that goes while we look is none."""
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(entry.path)


def open_requests(port: int) -> int:
    """As the gateway tells it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:  # our own server
        open_now: int = json.load(answer)["requests"]["open"]
    return open_now


def look_at_rest(pid: int, port: int, upstream_port: int) -> Look:
    """Waits, a bounded time, until no client and no request is left (answers of those who left are read on for their usage), and two looks agree."""
    last, until = look(pid, port, upstream_port), time.monotonic() + _QUIET_S
    while time.monotonic() < until:
        time.sleep(0.5)
        now = look(pid, port, upstream_port)
        if (
            not now.client_sockets
            and not open_requests(port)
            and (now.descriptors, now.upstream_sockets)
            == (
                last.descriptors,
                last.upstream_sockets,
            )
        ):
            return now
        last = now
    return last


def faults(length: Length, looks: list[Look], tally: Tally, store: Path) -> list[str]:
    """The bounds that were broken, in words."""
    first, last = looks[0], looks[-1]
    records = count(store, "records", "model != ''")
    halves = count(store, "records", "model = ''")
    missing = tally.seen - ids(store) - {""}
    checks = (
        (last.rss_mb - first.rss_mb <= length.grown_mb, f"memory grew by {last.rss_mb - first.rss_mb:.1f} MB"),
        (last.descriptors - first.descriptors <= 2, f"{last.descriptors - first.descriptors} descriptors more"),
        (last.threads - first.threads <= 1, f"{last.threads - first.threads} threads more"),
        (last.client_sockets == 0, f"{last.client_sockets} sockets to clients that are gone"),
        (last.upstream_sockets <= IDLE_POOL, f"{last.upstream_sockets} sockets to the upstream"),
        (records == tally.sent, f"{records} records for {tally.sent} requests"),
        (halves <= tally.kinds[HALF], f"{halves} records without a model for {tally.kinds[HALF]} half requests"),
        (not missing, f"{len(missing)} request ids that clients saw have no record: {sorted(missing)[:5]}"),
        (count(store, "intents") == 0, f"{count(store, 'intents')} intents left open"),
        (not tally.wrong, f"answers that were not right: {dict(tally.wrong)}"),
    )
    return [words for held, words in checks if not held]


def soak(length: Length, folder: Path) -> int:
    upstream_child, upstream = events_upstream(folder / "upstream", ())
    running = Running(
        Stack("Trunkline", version(), partial(trunkline_serve, abortable=("one",))), upstream, folder / "trunkline", ()
    )
    tally, looks = Tally(), []
    try:
        pid = data_plane_pid(running.child.pids())
        for number in range(length.rounds):
            uvloop.run(load(running.target, length.round_s, number, tally))
            looks.append(look_at_rest(pid, running.target.port, upstream.port))
            print(f"round {number + 1} of {length.rounds}: {tally.sent} requests, {looks[-1]}", flush=True)
        if data_plane_pid(running.child.pids()) != pid:
            tally.wrong["the data plane was restarted"] += 1
    finally:
        running.stop()
        upstream_child.stop()
    broken = faults(length, looks, tally, store_path(folder / "trunkline"))
    print(f"{tally.sent} requests: {dict(tally.kinds)}")
    print("\n".join(f"BROKEN: {words}" for words in broken) or "All bounds hold, and each request has its one record.")
    return 1 if broken else 0


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--short", action="store_true", help="about 20 seconds instead of 10 minutes")
    given = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    allow_open_files(20_000)
    folder = HERE / ".work" / "soak"
    shutil.rmtree(folder, ignore_errors=True)
    return soak(SHORT if given.short else FULL, folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
