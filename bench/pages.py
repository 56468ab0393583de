"""`python -m bench.pages [--full]`: how long the server takes for each page on a large store, and what page views do to the API's latency.

A store of a million records over 90 days (`--full`: ten million) under the whole catalog; each page is asked for again and again over one
connection, through the data plane as a reader's browser does it. Then 500 requests a second, with and without 20 page views a second beside them,
in turns. Prints the tables, and writes bench/results/pages.md. Bars: 100 ms and 10 ms CPU a page, p99 within 1 ms.
"""

import argparse
import http.client
import itertools
import multiprocessing
import os
import platform
import shutil
import signal
import sqlite3
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from bench import gateway, install, large_store, stacks
from bench.measure import Cores, Measured, events_upstream, under_load
from bench.procs import Child, cpu_s, wait_idle
from bench.rows import Direct
from bench.types import LoadOrder, Sample, Target
from tests.fakes.pages import UNKNOWN_ONLY, addresses, filled
from trunkline.catalog.load import shipped_catalog
from trunkline.catalog.types import Offer

HERE = Path(__file__).resolve().parent
WORK = HERE / ".work"
MASTER_KEY = "bench-master-key-0123456789abcdef"
RECORDS, FULL_RECORDS = 1_000_000, 10_000_000
RATE_PER_S, VIEWS_PER_S = 500, 20
P99 = 99
"""Where it is in `PERCENTILES`."""
FREE_CORES = Cores((), ())
"""Nothing is pinned: data plane and console are to find their cores as in daily life."""


class PageFigures(msgspec.Struct, frozen=True):
    """Of one address."""

    address: str
    status: int
    median_ms: float
    worst_ms: float
    cpu_ms: float
    """Of the console process, a view."""
    size_kb: float


class Reader:
    """Somebody who has signed in, with one connection that is kept; lives until `close`."""

    def __init__(self, port: int, cookie: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.cookie = cookie or self._sign_in()

    def _sign_in(self) -> str:
        form = urlencode({"key": MASTER_KEY, "next": "/"})
        self._connection.request("POST", "/sign-in", form, {"content-type": "application/x-www-form-urlencoded"})
        answer = self._connection.getresponse()
        answer.read()
        return answer.headers.get("set-cookie", "").partition(";")[0]

    def get(self, address: str) -> tuple[int, bytes, float]:
        """Status, body, and how long it took in ms."""
        headers = {"accept": "text/html"} | ({"cookie": self.cookie} if address not in UNKNOWN_ONLY else {})
        began = time.perf_counter()
        self._connection.request("GET", address, headers=headers)
        answer = self._connection.getresponse()
        body = answer.read()
        return answer.status, body, (time.perf_counter() - began) * 1000

    def close(self) -> None:
        self._connection.close()


def measure_page(reader: Reader, console_pid: int, address: str, views: int) -> PageFigures:
    status, body, _ = reader.get(address)
    before = cpu_s([console_pid])
    times = sorted(reader.get(address)[2] for _ in range(views))
    cpu_ms = (cpu_s([console_pid]) - before) / views * 1000
    return PageFigures(address, status, statistics.median(times), times[-1], cpu_ms, len(body) / 1000)


def view_pages(port: int, cookie: str, shown: list[str], stop: Any, seen: Any) -> None:
    """20 views a second, page after page, until told to stop; in a process of its own. `seen`: views, and those that failed."""
    reader = Reader(port, cookie)
    began = time.monotonic()
    for number, address in enumerate(itertools.cycle(shown)):
        pause = began + number / VIEWS_PER_S - time.monotonic()
        if stop.wait(max(pause, 0)):
            break
        status, _, _ = reader.get(address)
        seen[0] += 1
        seen[1] += status != 200
    reader.close()


def latency(row: str, number: int, one: Measured, upstream: Child, seconds: float) -> Sample:
    order = LoadOrder(
        mode="open", target=one.target, connections=64, seconds=seconds, rate_per_s=RATE_PER_S, seed=number
    )
    return under_load(row, number, one, upstream, order, FREE_CORES)


def side_by_side(
    running: stacks.Running, direct: Direct, reader: Reader, shown: list[str], rounds: int, seconds: float
) -> tuple[list[Sample], str]:
    """Samples `direct`, `alone` and `beside pages`, in turns, and how many pages were seen."""
    samples, views = [], [0, 0]
    context = multiprocessing.get_context("spawn")
    for number in range(1, rounds + 1):
        samples.append(latency("direct", number, direct, direct.child, seconds))
        samples.append(latency("alone", number, running, direct.child, seconds))
        stop, seen = context.Event(), context.Array("l", 2)
        viewer = context.Process(target=view_pages, args=(running.target.port, reader.cookie, shown, stop, seen))
        viewer.start()
        try:
            while not seen[0] and viewer.is_alive():
                time.sleep(0.05)
            samples.append(latency("beside pages", number, running, direct.child, seconds))
        finally:
            stop.set()
            viewer.join()
        views = [views[0] + seen[0], views[1] + seen[1]]
        say(", ".join(f"{one.row} p99 {one.latency_us[P99] / 1000:.2f} ms" for one in samples[-3:]))
    return samples, f"{views[0]} page views, {views[1]} of them failed"


def launch(records: int, upstream: stacks.Upstream, folder: Path) -> stacks.Launch:
    """This build over a store with so many records, with every provider of the catalog ready that needs but a key."""
    ready = {
        provider.slug
        for provider in shipped_catalog().providers.values()
        if provider.base_urls and not any("{" in url for url in provider.base_urls.values())
    }
    made = stacks.trunkline_serve(upstream, folder)
    config = folder / "trunkline.toml"
    keys = "".join(f'[providers.{slug}]\napi_key = "bench"\n' for slug in sorted(ready))
    config.write_text(config.read_text() + keys)
    began = time.monotonic()
    large_store.fill(gateway.store_path(folder), offers(ready), records)
    size_gb = gateway.store_path(folder).stat().st_size / 1e9
    say(
        f"a store of {gateway.count(gateway.store_path(folder), 'records'):,} records, {size_gb:.1f} GB, in {time.monotonic() - began:.0f} s"
    )
    return made


def offers(ready: set[str]) -> list[Offer]:
    """Those that traffic goes to, o4-mini's first."""
    found = [
        one for model in shipped_catalog().models.values() for one in model.offers if one.provider in ready | {"azure"}
    ]
    return sorted(
        found, key=lambda one: (one.model != "openai/o4-mini", one.provider == "openrouter", one.upstream_model)
    )


def console_pid(child: Child) -> int:
    """The process of the pages."""
    for pid in child.pids():
        if b"trunkline.web.process\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise RuntimeError("there is no console process")


def ids(running: stacks.Running) -> dict[str, str]:
    """Of the newest record that was answered, and of the key."""
    with closing(sqlite3.connect(f"file:{gateway.store_path(running.folder)}?mode=ro", uri=True)) as store:
        newest = "SELECT id FROM records WHERE outcome = 'ok' ORDER BY rowid DESC LIMIT 1"
        return {
            "record": store.execute(newest).fetchone()[0],
            "key": store.execute("SELECT id FROM api_keys").fetchone()[0],
        }


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def pages_table(figures: Sequence[PageFigures]) -> str:
    lines = ["| page | median ms | worst ms | CPU ms | kB |", "|---|---|---|---|---|"]
    for one in figures:
        mark = "" if one.status == 200 else f" (status {one.status})"
        lines.append(
            f"| `{one.address}`{mark} | {one.median_ms:.1f} | {one.worst_ms:.1f} | {one.cpu_ms:.1f} | {one.size_kb:.0f} |"
        )
    return "\n".join(lines)


def latency_table(samples: Sequence[Sample]) -> str:
    lines = [
        "| 500 requests a second | p50 ms | p90 ms | p99 ms, median of the rounds | of each round |",
        "|---|---|---|---|---|",
    ]
    for row in ("direct", "alone", "beside pages"):
        found = [one for one in samples if one.row == row]
        p50, p90, p99 = (statistics.median(one.latency_us[at] for one in found) / 1000 for at in (50, 90, P99))
        each = ", ".join(f"{one.latency_us[P99] / 1000:.2f}" for one in found)
        errors = sum(sum(one.errors.values()) for one in found)
        lines.append(f"| {row}{f', {errors} errors' if errors else ''} | {p50:.2f} | {p90:.2f} | {p99:.2f} | {each} |")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--full", action="store_true", help="ten million records")
    parser.add_argument("--records", type=int, default=0, help="so many instead")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each round")
    parser.add_argument("--views", type=int, default=20, help="of each page")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "pages.md")
    given = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    records = given.records or (FULL_RECORDS if given.full else RECORDS)
    text = measure(records, given.rounds, given.seconds, given.views)
    given.out.write_text(text)
    print(text)
    return 0


def measure(records: int, rounds: int, seconds: float, views: int) -> str:
    folder = WORK / "pages"
    shutil.rmtree(folder, ignore_errors=True)
    nginx = install.nginx(WORK)
    child, upstream = stacks.nginx_upstream(nginx, folder / "upstream", ()) if nginx else events_upstream(folder, ())
    try:
        stack = stacks.Stack("Trunkline", gateway.version(), partial(launch, records))
        running = stacks.Running(stack, upstream, folder / "trunkline", ())
        try:
            wait_idle(running.child, 120.0)
            return report(running, child, upstream, records, rounds, seconds, views)
        finally:
            running.stop()
    finally:
        child.stop()


def report(
    running: stacks.Running,
    child: Child,
    upstream: stacks.Upstream,
    records: int,
    rounds: int,
    seconds: float,
    views: int,
) -> str:
    reader = Reader(running.target.port)
    known = ids(running)
    shown = [path for address in addresses() if (path := filled(address, known))]
    pid = console_pid(running.child)
    figures = []
    for address in shown:
        figures.append(measure_page(reader, pid, address, views))
        say(f"{address}: {figures[-1].median_ms:.1f} ms, CPU {figures[-1].cpu_ms:.1f} ms")
    direct = Direct("direct", Target("127.0.0.1", upstream.port, "/v1/chat/completions", "alpha-1"), child)
    viewed = [one.address for one in figures if one.status == 200 and one.address not in UNKNOWN_ONLY]
    samples, seen = side_by_side(running, direct, reader, viewed, rounds, seconds)
    reader.close()
    meta = (
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {records:,} records over {large_store.DAYS} days, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, load of the machine at the end {os.getloadavg()[0]:.1f}"
    )
    return f"# Pages\n\n{meta}\n\n{pages_table(figures)}\n\n{latency_table(samples)}\n\n{seen}.\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
