"""`python -m bench.crash_cluster [--rounds N]`: what compose.yaml describes under load, and `kill -9` of a gateway, a data plane, PostgreSQL or Redis.

Two prepaid organisations call, each with a key that has a budget and rates. Holds where, for every answer that had ended more than 100 ms before the
kill, or was asked for after it, there is one record whose cost is that of what the provider counted, to the pico-dollar; where every other call is at
most one `interrupted` record, charged no more than was held for it; where nothing is there twice; where answers come again within seconds; and where
records, ledger, figures and budgets are the same sums for each organisation. `bench.crash_books` reads them. Exit code 1 where it does not hold.
"""

import argparse
import asyncio
import datetime
import importlib.util
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg
import msgspec

from bench.crash_books import Books, Seen, faults, ledger_faults, read, without_record
from trunkline.errors import StoreError
from trunkline.shared.redis_client import RedisClient, address_of

SCRIPT = Path(__file__).resolve().parent.parent / "deploy" / "compose_without_containers.py"
CALLERS = 8
SETTLED_WITHIN_S = 120.0
ANSWERS_WITHIN_S = 10.0
"""After the mend, whoever was killed, and whatever that one was at for the others."""
PROMPT_PICO_USD, ANSWER_PICO_USD = 1_100_000, 4_400_000
"""Of a token: 1.10 and 4.40 USD per million."""
MOST_TOKENS = 400
VICTIMS = ("data plane", "gateway", "postgres", "valkey")
CONFIG = """
[providers.bench]
base_url = "http://127.0.0.1:{port}/v1"
api_key = "bench"
[[models]]
slug = "bench/alpha"
context_tokens = 200000
max_output_tokens = 100000
[[models.offers]]
provider = "bench"
upstream_model = "alpha-1"
protocols = ["openai.chat"]
price = [
  {{ item = "prompt", unit = "perMTokens", value = "1.10" }},
  {{ item = "completion", unit = "perMTokens", value = "4.40" }},
]
"""


class Provider:
    """Answers with as much as it likes, and counts. `counted`: the caller's word -> what each call for it costs, in pico-USD."""

    def __init__(self, seed: int) -> None:
        self.counted: dict[str, list[int]] = {}
        self.called: dict[str, float] = {}
        self._draw = random.Random(seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"content-length: (\d+)", head.lower())
                body = json.loads(await reader.readexactly(int(length[1]))) if length else {}
                await self._answer(body, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, body: Any, writer: asyncio.StreamWriter) -> None:
        prompt, answer = self._draw.randrange(1, MOST_TOKENS), self._draw.randrange(1, MOST_TOKENS)
        cost = prompt * PROMPT_PICO_USD + answer * ANSWER_PICO_USD
        word = body["messages"][0]["content"]
        self.counted.setdefault(word, []).append(cost)
        self.called.setdefault(word, time.time())
        await asyncio.sleep(self._draw.random() * 0.05)
        message = {"role": "assistant", "content": "hello"}
        usage = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
        told = {"id": "c", "object": "chat.completion", "created": 1, "model": "alpha-1", "usage": usage}
        told["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
        sent = json.dumps(told).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(sent) + sent
        )


class Round(msgspec.Struct, frozen=True):
    """What became of one."""

    number: int
    victim: str
    words: str
    answered_after_s: float | None
    """None: nothing was answered again."""
    faults: list[str]


async def caller(number: int, round_number: int, port: int, key: str, seen: Seen) -> None:
    """Asks until told to stop; each request has a word of its own, which is its session too. All are as long as the others."""
    count = 0
    while not seen.is_over:
        count += 1
        word = f"r{round_number:03}-{number}-{count:06}"
        seen.begun[word] = time.time()
        try:
            async with asyncio.timeout(20):
                status = await ask(port, key, word)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            seen.refused[type(error).__name__] += 1
            await asyncio.sleep(0.02)
            continue
        if status == "200":
            seen.ended[word] = time.time()
        else:
            seen.refused[status] += 1


async def ask(port: int, key: str, word: str) -> str:
    """The status, once the whole answer has come; of a refusal with how its message begins."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        body = json.dumps(
            {"model": "bench/alpha", "max_tokens": 1_000, "messages": [{"role": "user", "content": word}]}
        ).encode()
        head = f"POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nX-Session-Id: {word}\r\n"
        writer.write(
            f"{head}Connection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        told = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", told.lower())
        answer = await reader.readexactly(int(length[1])) if length else await reader.read()
        status = told[9:12].decode()
        if status == "200":
            return status
        message = re.search(rb'"message":"([^"]*)', answer)
        return f"{status} {message[1].decode(errors='replace')[:100] if message else ''}"
    finally:
        writer.close()


class Cluster:
    """The compose set-up, and what is asked of its store. Lives from `start` to `stop`."""

    def __init__(self, compose: Any) -> None:
        self.compose = compose
        self.keys: list[str] = []
        self.held: dict[str, int] = {}
        """Request -> what Redis held for it when a kill came, in pico-USD."""
        self.interrupted: set[str] = set()
        """Records of rounds that are over."""
        self.unrecorded = 0
        """What their calls without a record cost, since Redis was empty last, in pico-USD."""

    @property
    def port(self) -> int:
        port: int = self.compose.services["nginx"].port
        return port

    @property
    def store_url(self) -> str:
        url: str = self.compose.services["gateway-1"].env["TRUNKLINE_STORE_URL"]
        return url

    async def start(self) -> None:
        """With a key for each of two prepaid organisations, with a budget and rates, so that each request goes by Redis."""
        await asyncio.to_thread(self.compose.start)
        for name in ("acme", "example"):
            org = (await self._manage("organisations", {"name": name, "prepaid": True}))["data"]["id"]
            await self._manage(f"credits?organisation={org}", {"amount_usd": "100000", "kind": "top_up"})
            rules = {"requests_per_minute": 1_000_000, "concurrency": 1_000}
            key = await self._manage("keys", {"name": "crash", "organisation": org, "rules": rules})
            budget = {"scope": "key", "scope_id": key["id"], "period": "total", "limit_usd": "1000000"}
            await self._manage("budgets", budget | {"organisation": org})
            self.keys.append(key["secret"])

    async def kill(self, victim: str, draw: random.Random) -> Any:
        """The word of what was killed, to be given to `mend`."""
        services = self.compose.services
        service = services[draw.choice(("gateway-1", "gateway-2")) if victim in ("gateway", "data plane") else victim]
        if victim == "data plane":
            os.kill(draw.choice(data_planes(service)), signal.SIGKILL)
            return None
        # Only the supervisor, or only the postmaster with its children: what hangs on it must end by itself.
        self.compose.end(service, signal.SIGKILL)
        return service

    async def mend(self, service: Any) -> None:
        start = {"postgres": self.compose.start_postgres, "valkey": self.compose.start_valkey}
        if service is not None:
            await asyncio.to_thread(start.get(service.name, self.compose.start_gateway), service)

    async def note_held(self) -> None:
        """What Redis holds for requests now; of those that are gone, that stays until they are settled."""
        with_claims = await self._redis("KEYS", "tl:c:*")
        values = await self._redis("MGET", *[key.decode() for key in with_claims]) if with_claims else []
        for key, value in zip(with_claims, values, strict=True):
            if value is not None:
                self.held[key.decode().removeprefix("tl:c:")] = int(json.loads(value)["amount"])

    async def books(self, prefix: str, provider: Provider) -> Books:
        """Of a round. Raises OSError, asyncpg.PostgresError, StoreError."""
        shared: dict[str, tuple[int, int]] = {}
        for key in await self._redis("KEYS", "tl:h:budget:*"):
            spent, held, ready = await self._redis("HMGET", key.decode(), "spent", "held", "ready")
            if ready == b"1":
                shared[key.decode().split(":")[3]] = int(spent), int(held)
        connection = await asyncpg.connect(self.store_url)
        try:
            found = await read(connection, prefix, self.interrupted, self.held, shared, self.unrecorded)
        finally:
            await connection.close()
        return msgspec.structs.replace(found, unrecorded=self.unrecorded + without_record(found, provider, prefix))

    async def _redis(self, *command: str) -> Any:
        client = RedisClient(address_of(f"redis://127.0.0.1:{self.compose.services['valkey'].port}/0"), 5.0, {})
        try:
            await client.connect()
            return await client.ask(*command)
        finally:
            client.close()

    async def _manage(self, path: str, body: Any) -> Any:
        sent = json.dumps(body).encode()
        key = self.compose.variables["TRUNKLINE_MASTER_KEY"]
        head = f"POST /api/v1/management/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
        for _ in range(200):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(head.encode() + sent)
            told, _, answer = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            if told.startswith(b"HTTP/1.1 201"):
                found = re.search(rb"\{.*\}", answer, re.DOTALL)
                assert found is not None
                return json.loads(found[0])
            await asyncio.sleep(0.1)
        raise RuntimeError(f"{path} cannot be made: {told!r} {answer!r}")


async def crash_round(number: int, cluster: Cluster, provider: Provider, draw: random.Random, victim: str) -> Round:
    """Load, a kill in the middle of it, the mend, more load; then the books are read."""
    seen = Seen()
    callers = [
        asyncio.create_task(caller(one, number, cluster.port, cluster.keys[one % len(cluster.keys)], seen))
        for one in range(CALLERS)
    ]
    await asyncio.sleep(draw.uniform(0.5, 2.0))
    seen.killed_at = time.time()
    killed = await cluster.kill(victim, draw)
    seen.dead_at = time.time()
    if victim == "valkey":
        cluster.unrecorded = 0
    else:
        await cluster.note_held()
    await asyncio.sleep(draw.uniform(0.0, 1.0))
    await cluster.mend(killed)
    seen.mended_at = time.time()
    await asyncio.sleep(1.0)
    while seen.answered_after_s is None and time.time() < seen.mended_at + ANSWERS_WITHIN_S:  # noqa: ASYNC110 - the cluster brings it about
        await asyncio.sleep(0.1)
    seen.is_over = True
    await asyncio.gather(*callers)
    words, found = await settled(number, cluster, provider, seen)
    if seen.answered_after_s is None:
        found.append(f"nothing was answered within {ANSWERS_WITHIN_S:.0f} s of the mend, but {dict(seen.refused)}")
    return Round(number, victim, words, seen.answered_after_s, found)


async def settled(number: int, cluster: Cluster, provider: Provider, seen: Seen) -> tuple[str, list[str]]:
    """What the books say, and have wrong, once everything has come in: the journal of a gateway and the intents of a dead one need their time."""
    until, prefix = time.monotonic() + SETTLED_WITHIN_S, f"r{number:03}-"
    while True:
        words = ""
        try:
            books = await cluster.books(prefix, provider)
        except (OSError, asyncpg.PostgresError, StoreError) as error:
            found = [f"the books cannot be read: {error!r}"]
        else:
            words = books.words(seen, provider, prefix)
            found = faults(books, seen, provider, prefix)
        if not found or time.monotonic() > until:
            break
        await asyncio.sleep(1.0)
    if words:
        cluster.interrupted.update(row["id"] for row in books.interrupted)
        cluster.unrecorded = books.unrecorded
    return words, found + await ledger_faults(cluster.store_url)


def data_planes(service: Any) -> list[int]:
    """The process ids of a gateway's, the newest of each."""
    started = re.findall(r'"child": "data plane (\d+)", "child_pid": (\d+)', (service.folder / "log").read_text())
    return [int(pid) for _, pid in sorted(dict(started).items())]


def compose_script() -> ModuleType:
    """`deploy/` is no package."""
    spec = importlib.util.spec_from_file_location("compose_without_containers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


async def run(
    rounds: int, seed: int, folder: Path, tell: Callable[[Sequence[Round]], None] = lambda _: None
) -> list[Round]:
    """All rounds; `tell` is given those so far after each."""
    draw, provider = random.Random(seed), Provider(seed)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    compose = compose_script().Compose(folder, more_toml=CONFIG.format(port=server.sockets[0].getsockname()[1]))
    cluster, done = Cluster(compose), []
    try:
        await cluster.start()
        for number in range(1, rounds + 1):
            victim = VICTIMS[(number - 1) % len(VICTIMS)]
            done.append(await crash_round(number, cluster, provider, draw, victim))
            print(f"{number} of {rounds}, {victim}: {done[-1].words}", *done[-1].faults, sep="\n  BROKEN: ", flush=True)
            tell(done)
    finally:
        await asyncio.to_thread(compose.stop)
        server.close()
    return done


def report(done: Sequence[Round], seed: int) -> str:
    """In Markdown."""
    now, load = datetime.datetime.now(datetime.UTC), " ".join(f"{load:.2f}" for load in os.getloadavg())
    names = ("requests", "answered", "refused", "calls", "records", "interrupted")
    lines = [
        f"# Crash rounds of {now:%Y-%m-%d %H:%M} UTC",
        "",
        f"{len(done)} rounds, seed {seed}, commit {_commit()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, load at the end {load}.",
        "",
        f"| killed | rounds | {' | '.join(names)} | answered again after s: median, most | broken |",
        f"|---|---|{'---|' * len(names)}---|---|",
    ]
    for victim in VICTIMS:
        mine = [one for one in done if one.victim == victim]
        sums: Counter[str] = Counter()
        for one in mine:
            sums.update({name: int(count) for count, name in re.findall(r"(\d+) (\w+)", one.words)})
        after = sorted(one.answered_after_s for one in mine if one.answered_after_s is not None)
        again = f"{after[len(after) // 2]:.1f}, {after[-1]:.1f}" if after else "never"
        figures = " | ".join(f"{sums[name]:,}" for name in names)
        lines.append(f"| {victim} | {len(mine)} | {figures} | {again} | {sum(bool(one.faults) for one in mine)} |")
    lines += ["", *[f"* round {one.number}, {one.victim}: {words}" for one in done for words in one.faults]]
    return "\n".join(lines).rstrip() + "\n"


def _commit() -> str:
    git = ["git", "-C", str(SCRIPT.parent)]
    short = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", "../src"], capture_output=True, text=True, check=False
    )
    return (short.stdout.strip() or "unknown") + (" and a change" if changed.stdout.strip() else "")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.crash_cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="how often something is killed")
    parser.add_argument("--seed", type=int, default=1, help="of the load and of the moments of the kills")
    parser.add_argument("--out", type=Path, help="file for the figures, in Markdown")
    given = parser.parse_args(argv)

    def tell(done: Sequence[Round]) -> None:
        if given.out is not None:
            given.out.write_text(report(done, given.seed))

    with tempfile.TemporaryDirectory(prefix="tl-crash-") as folder:
        done = asyncio.run(run(given.rounds, given.seed, Path(folder), tell))
    is_broken = any(one.faults for one in done)
    print("BROKEN" if is_broken else "Nothing that had to be kept was lost, and the books agree.")
    return 1 if is_broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
