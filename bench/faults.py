"""`python -m bench.faults [--short]`: requests in all four protocols, 200 a second for ten minutes, against Trunkline
over simulated providers where one answer in twenty goes wrong in one of eleven ways.

Holds where a caller saw a failure only when every offer that could take its request had failed, each request has its one
record, each call that reached a provider is one attempt of a record, and nothing is left over: memory, descriptors,
sockets, intents. Exit code 1 where one is broken.
"""

import argparse
import asyncio
import json
import random
import shutil
import signal
import sqlite3
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from bench import gateway
from bench.bodies import PATHS, SHORT
from bench.client import Answer, Call
from bench.procs import Child, allow_open_files, free_port, wait_ready
from bench.soak import Look, look_at_rest
from bench.stacks import direction
from bench.types import Target
from trunkline.records.types import Record
from trunkline.storage.columns import RECORD_COLUMNS
from trunkline.storage.rows import read_record

HERE = Path(__file__).resolve().parent
RATE_PER_S = 200
RETOLD = 0.002
"""A reset on a kept-alive connection before anything came looks like a stale one, so that the call is made again within its
attempt: at most such a share of calls is not told apart."""
FAULTS = """seed = 7
[default]
ttft_ms = { min = 5, max = 400, avg = 30 }
tokens_per_s = { min = 400, max = 4000, avg = 1500 }
error_rates = { 429 = 0.005, 500 = 0.005, 503 = 0.005, 529 = 0.005 }
retry_after_s = 0.2
reset_rate = 0.005
cut_rate = 0.005
stall_rate = 0.004
error_event_rate = 0.005
malformed_rate = 0.004
wrong_type_rate = 0.004
empty_rate = 0.003
"""
"""Together 5 %."""
_PROVIDER = """[providers.{kind}-{number}]
name = "{kind} {number}"
base_urls = {{ "{protocol}" = "{url}" }}
api_key = "bench"
"""
_MODEL = """[[models]]
slug = "bench/mixed"
name = "Mixed"
context_tokens = 200000
max_output_tokens = 100000
"""
_OFFER = """[[models.offers]]
provider = "{kind}-{number}"
upstream_model = "alpha-1"
protocols = ["{protocol}"]
abortable = true
prefill = {prefill}
deadlines = {{ connect_s = 1.0, first_event_s = 1.5, idle_s = 1.5, total_s = 20.0 }}
price = [
  {{ item = "prompt", unit = "perMTokens", value = "1.10" }},
  {{ item = "completion", unit = "perMTokens", value = "4.40" }},
]
"""
_ENDS = {
    "chat": "[DONE]",
    "responses": '"type":"response.completed"',
    "messages": "message_stop",
    "gemini": '"finishReason"',
}
"""What the last bytes of a whole stream hold, in each protocol."""
_TRIED_BY = ("asked to be left alone", "breaker")
"""Words of a plan's reason for an offer that was left out because it had failed just before."""


class Length(msgspec.Struct, frozen=True):
    rounds: int
    round_s: float
    grown_mb: float


FULL = Length(rounds=10, round_s=60.0, grown_mb=25.0)
SHORT_FORM = Length(rounds=3, round_s=4.0, grown_mb=35.0)


class Tally(msgspec.Struct):
    """What clients did and saw."""

    sent: int = 0
    seen: set[str] = msgspec.field(default_factory=set)
    failed: dict[str, str] = msgspec.field(default_factory=dict)
    """Request id -> how its answer ended, of answers that were not whole."""
    wrong: Counter[str] = msgspec.field(default_factory=Counter)
    upstream: Counter[str] = msgspec.field(default_factory=Counter)
    """Provider -> calls that it got."""


class Clients:
    """Open loop: a request at each drawn time, on a connection that is free or a new one. Lives for one round."""

    def __init__(self, target: Target, draw: random.Random, tally: Tally) -> None:
        self._target = target
        self._draw = draw
        self._tally = tally
        self._free: list[Call] = []

    async def run(self, seconds: float) -> None:
        until, due = time.monotonic() + seconds, time.monotonic()
        async with asyncio.TaskGroup() as group:
            while due < until:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                group.create_task(self._one())
                due += self._draw.expovariate(RATE_PER_S)
        for call in self._free:
            call.close()

    async def _one(self) -> None:
        kind, stream = self._draw.choice(sorted(SHORT)), self._draw.random() < 0.6
        text = f"Number {self._draw.random()}. <<tokens {self._draw.randrange(2, 40)}>>"
        while self._free and not self._free[-1].usable:
            self._free.pop()
        call = self._free.pop() if self._free else await Call.open(self._target)
        if call is None:
            self._tally.wrong["connection refused"] += 1
            return
        self._tally.sent += 1
        answer = await call.ask(direction(self._target, kind, "mixed"), text, stream=stream)
        self._note(answer, kind, stream)
        if call.usable:
            self._free.append(call)

    def _note(self, answer: Answer, kind: str, stream: bool) -> None:
        self._tally.seen.add(answer.id)
        is_whole = answer.ended and answer.status == 200 and (not stream or _ENDS[kind] in answer.text)
        if not is_whole:
            self._tally.failed[answer.id] = (
                f"{kind}{' stream' if stream else ''}: {answer.status} {answer.text[-160:]!r}"
            )


class Providers:
    """The simulated ones. Live until `stop`; `count` tells what each was asked since the last time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        config = folder / "simulate.toml"
        config.write_text(FAULTS)
        argv = [
            str(Path(sys.executable).parent / "trunkline"),
            "simulate",
            "--port",
            str(self.port),
            "--config",
            str(config),
        ]
        self._child = Child(argv, log=folder / "log.txt")
        wait_ready(self.port, "/__simulate/log?after=0", self._child)
        self._last = 0

    def count(self, into: Counter[str]) -> None:
        url = f"http://127.0.0.1:{self.port}/__simulate/log?after={self._last}"
        with urllib.request.urlopen(url, timeout=30) as answer:  # our own server
            entries = json.load(answer)
        for entry in entries:
            if entry["n"] != self._last + 1:
                raise RuntimeError("the simulated providers' log was not read often enough")
            self._last = entry["n"]
            into[entry["provider"]] += 1

    def stop(self) -> None:
        self._child.stop()


def write_config(folder: Path, port: int) -> Path:
    """One model with two offers of each protocol; those of Messages go on from a given beginning, as Claude does."""
    folder.mkdir(parents=True)
    rest, offers = "", ""
    for kind, protocol in SHORT.items():
        for number in (1, 2):
            root = f"http://127.0.0.1:{port}/{kind}-{number}"
            url = f"{root}/v1" if kind in ("chat", "responses") else root
            rest += _PROVIDER.format(kind=kind, number=number, protocol=protocol, url=url)
            offers += _OFFER.format(
                kind=kind, number=number, protocol=protocol, prefill=str(kind == "messages").lower()
            )
    return gateway.written(folder, rest + _MODEL + offers)


def records(store: Path) -> list[Record]:
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10)
    try:
        return [read_record(row) for row in connection.execute(f"SELECT {', '.join(RECORD_COLUMNS)} FROM records")]
    finally:
        connection.close()


def is_excused(record: Record) -> bool:
    """Whether every offer that could have answered had failed: tried by this request, or left out for what it did to others."""
    tried = {attempt.offer for attempt in record.attempts}
    left_out = {one.offer for one in record.plan if one.rank is None and any(word in one.reason for word in _TRIED_BY)}
    planned = {one.offer for one in record.plan}
    if record.outcome == "cut":
        # After the first words only these can go on.
        planned = {offer for offer in planned if ":messages-" in offer}
    return planned <= tried | left_out


def faults(length: Length, looks: list[Look], tally: Tally, store: Path) -> list[str]:
    """The bounds that were broken, in words."""
    first, last = looks[0], looks[-1]
    stored = {record.id: record for record in records(store)}
    calls: Counter[str] = Counter()
    for record in stored.values():
        calls.update(attempt.provider for attempt in record.attempts if attempt.outcome not in ("connect", "refused"))
    unexcused = {id_: words for id_, words in tally.failed.items() if id_ not in stored or not is_excused(stored[id_])}
    wrongly_summed = [
        record.id
        for record in stored.values()
        if record.cost_pico_usd != sum(attempt.cost.total_pico_usd for attempt in record.attempts)
    ]
    checks = (
        (
            not unexcused,
            f"{len(unexcused)} callers saw a failure though an offer was left: {list(unexcused.items())[:5]}",
        ),
        (len(stored) == tally.sent, f"{len(stored)} records for {tally.sent} requests"),
        (tally.seen <= stored.keys(), f"{len(tally.seen - stored.keys())} ids that clients saw have no record"),
        (
            all(0 <= tally.upstream[name] - calls[name] <= tally.sent * RETOLD for name in calls | tally.upstream),
            f"providers were called {dict(tally.upstream)}, attempts say {dict(calls)}",
        ),
        (not wrongly_summed, f"{len(wrongly_summed)} records do not cost what their attempts do: {wrongly_summed[:5]}"),
        (gateway.count(store, "intents") == 0, f"{gateway.count(store, 'intents')} intents left open"),
        (last.rss_mb - first.rss_mb <= length.grown_mb, f"memory grew by {last.rss_mb - first.rss_mb:.1f} MB"),
        (last.descriptors - first.descriptors <= 2, f"{last.descriptors - first.descriptors} descriptors more"),
        (last.threads - first.threads <= 1, f"{last.threads - first.threads} threads more"),
        (last.client_sockets == 0, f"{last.client_sockets} sockets to clients that are gone"),
        (not tally.wrong, f"what should not happen: {dict(tally.wrong)}"),
    )
    return [words for held, words in checks if not held]


def told(tally: Tally, store: Path) -> str:
    """What happened, for people."""
    stored = records(store)
    attempts = Counter(attempt.outcome for record in stored for attempt in record.attempts)
    kinds = Counter(attempt.kind for record in stored for attempt in record.attempts)
    outcomes = Counter(record.outcome for record in stored)
    several = sum(len(record.attempts) > 1 for record in stored)
    return (
        f"{tally.sent} requests: {dict(outcomes)}; {several} took more than one attempt.\n"
        f"Attempts: {dict(attempts.most_common())}; {dict(kinds)}.\n"
        f"Callers saw {len(tally.failed)} failures."
    )


async def load(target: Target, providers: Providers, seconds: float, seed: int, tally: Tally) -> None:
    clients = asyncio.create_task(Clients(target, random.Random(seed), tally).run(seconds))
    while not clients.done():
        await asyncio.wait({clients}, timeout=1.0)
        await asyncio.to_thread(providers.count, tally.upstream)
    await clients


def run(length: Length, folder: Path) -> int:
    providers = Providers(folder / "simulate")
    config = write_config(folder / "trunkline", providers.port)
    port = free_port()
    child = Child(gateway.serve_argv(config, port), log=folder / "trunkline" / "log.txt")
    tally, looks = Tally(), []
    store = gateway.store_path(folder / "trunkline")
    try:
        wait_ready(port, "/readyz", child)
        key = gateway.make_key(config)
        target = Target("127.0.0.1", port, PATHS["openai.chat"], "", {"Authorization": f"Bearer {key}"})
        pid = gateway.data_plane_pid(child.pids())
        for number in range(length.rounds):
            uvloop.run(load(target, providers, length.round_s, number, tally))
            looks.append(look_at_rest(pid, port, providers.port))
            providers.count(tally.upstream)
            print(f"round {number + 1} of {length.rounds}: {tally.sent} requests, {looks[-1]}", flush=True)
        if gateway.data_plane_pid(child.pids()) != pid:
            tally.wrong["the data plane was restarted"] += 1
    finally:
        child.stop()
        providers.stop()
    broken = faults(length, looks, tally, store)
    print(told(tally, store))
    print("\n".join(f"BROKEN: {words}" for words in broken) or "All holds.")
    return 1 if broken else 0


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="about 15 seconds instead of 10 minutes")
    given = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    allow_open_files(20_000)
    folder = HERE / ".work" / "faults"
    shutil.rmtree(folder, ignore_errors=True)
    return run(SHORT_FORM if given.short else FULL, folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
