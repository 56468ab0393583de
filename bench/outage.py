"""`python -m bench.outage [--seconds 600] [--rate 50]`: what compose.yaml describes, and a PostgreSQL that is away for ten minutes under load.

Holds where every answer has one record at the provider's count once PostgreSQL is back, and all sums agree (`bench.crash_books`). Prints how much waited
on the disks, how long it took to be brought over, what the data planes took in memory. Exit code 1 where it does not hold.
"""

import argparse
import asyncio
import itertools
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.crash_cluster import CONFIG, Cluster, Provider, Seen, ask, compose_script, data_planes, settled

LOAD_BEFORE_S = 10.0
LOAD_AFTER_S = 10.0
DRAINED_WITHIN_S = 600.0


async def load(cluster: Cluster, seen: Seen, rate_per_s: float) -> None:
    """So many requests a second begin, whatever becomes of those before."""
    open_requests: set[asyncio.Task[None]] = set()
    next_s = time.monotonic()
    for count in itertools.count():
        if seen.is_over:
            break
        task = asyncio.create_task(one(cluster, seen, count))
        open_requests.add(task)
        task.add_done_callback(open_requests.discard)
        next_s += 1 / rate_per_s
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))
    if open_requests:
        await asyncio.wait(open_requests)


async def one(cluster: Cluster, seen: Seen, count: int) -> None:
    word = f"r001-0-{count:06}"
    seen.begun[word] = time.time()
    try:
        async with asyncio.timeout(20):
            status = await ask(cluster.port, cluster.keys[count % len(cluster.keys)], word)
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
        status = type(error).__name__
    if status == "200":
        seen.ended[word] = time.time()
    else:
        seen.refused[status] += 1


def waiting(cluster: Cluster) -> dict[Path, int]:
    """The files of journals, and how many bytes they have."""
    return {path: path.stat().st_size for path in cluster.compose.folder.glob("gateway-*/spool/*/*.journal")}


def resident_mb(cluster: Cluster) -> list[int]:
    """Of each data plane."""
    found = []
    for name in ("gateway-1", "gateway-2"):
        for pid in data_planes(cluster.compose.services[name]):
            resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
            found.append(int(resident[1]) // 1024 if resident else 0)
    return found


async def until(condition: Callable[[], bool], within_s: float) -> float:
    """How long it took."""
    began = time.monotonic()
    while not condition() and time.monotonic() < began + within_s:  # noqa: ASYNC110 - the cluster brings it about
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def run(seconds: float, rate_per_s: float, folder: Path) -> list[str]:
    """What does not hold."""
    provider, seen = Provider(1), Seen()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    compose: Any = compose_script().Compose(folder, more_toml=CONFIG.format(port=server.sockets[0].getsockname()[1]))
    cluster = Cluster(compose)
    try:
        await cluster.start()
        asking = asyncio.create_task(load(cluster, seen, rate_per_s))
        await asyncio.sleep(LOAD_BEFORE_S)
        before_mb, postgres = resident_mb(cluster), compose.services["postgres"]
        seen.killed_at = seen.dead_at = time.time()
        compose.end(postgres, signal.SIGKILL)
        await asyncio.sleep(seconds)
        waited, during_mb = waiting(cluster), resident_mb(cluster)
        answered = sum(at > seen.killed_at for at in seen.ended.values())
        await asyncio.to_thread(compose.start_postgres, postgres)
        seen.mended_at = time.time()
        drained_s = await until(lambda: not any(path.exists() for path in waited), DRAINED_WITHIN_S)
        await asyncio.sleep(LOAD_AFTER_S)
        seen.is_over = True
        await asking
        bytes_ = sum(waited.values())
        words, found = await settled(1, cluster, provider, seen)
        print(
            f"away for {seconds:.0f} s at {rate_per_s:g} requests a second: {answered} answered meanwhile, {dict(seen.refused)} in all"
        )
        print(
            f"waiting on the disks: {bytes_ / 1e6:.1f} MB, {bytes_ / max(answered, 1):.0f} bytes an answer; "
            f"brought over in {drained_s:.1f} s"
        )
        print(
            f"MB of the data planes: {before_mb} before, {during_mb} at the end of it, {resident_mb(cluster)} afterwards"
        )
        print(words, f"load of the machine {os.getloadavg()[0]:.1f}")
        return found
    finally:
        await asyncio.to_thread(compose.stop)
        server.close()


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.outage", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long PostgreSQL is away")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="tl-outage-") as folder:
        found = asyncio.run(run(given.seconds, given.rate, Path(folder)))
    print("\n".join(f"BROKEN: {words}" for words in found) or "Nothing was lost, and the books agree.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
