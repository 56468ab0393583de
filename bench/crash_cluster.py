"""`python -m bench.crash_cluster [--rounds N]`: what compose.yaml describes under load, and `kill -9` of a gateway, a data plane, PostgreSQL or Redis.

Holds where, for every answer that had ended more than 100 ms before the kill, there is one record whose cost is that of what the provider
counted, to the pico-dollar; where every other call that the provider saw has at most one record more, `interrupted` and charged between nothing
and its worst case; where nothing is there twice; where answers come again within seconds;
and where the figures of the pages are the sum of the records. Exit code 1 where it does not.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg
import msgspec

from trunkline.storage.columns import RECORD_COLUMNS

SCRIPT = Path(__file__).resolve().parent.parent / "deploy" / "compose_without_containers.py"
CALLERS = 8
GRACE_S = 0.1
SETTLED_WITHIN_S = 90.0
ANSWERS_WITHIN_S = 10.0
"""After the mend, whoever was killed, and whatever that one was at for the others."""
PROMPT_PICO_USD, ANSWER_PICO_USD = 1_100_000, 4_400_000
"""Of a token: 1.10 and 4.40 USD per million."""
MOST_TOKENS = 400
WORST_PICO_USD = 1_000_000 * PROMPT_PICO_USD + 200_000 * ANSWER_PICO_USD
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
SUMS = (
    "SELECT count(*), coalesce(sum(cost_pico_usd), 0) FROM records",
    "SELECT coalesce(sum(cost_pico_usd), 0) FROM use_rollups WHERE width_s = $1",
)


class Provider:
    """Answers with as much as it likes, and counts. `counted`: the caller's word -> what each call for it costs, in pico-USD."""

    def __init__(self, seed: int) -> None:
        self.counted: dict[str, list[int]] = {}
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
        self.counted.setdefault(body["messages"][0]["content"], []).append(cost)
        await asyncio.sleep(self._draw.random() * 0.05)
        message = {"role": "assistant", "content": "hello"}
        usage = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
        told = {"id": "c", "object": "chat.completion", "created": 1, "model": "alpha-1", "usage": usage}
        told["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
        sent = json.dumps(told).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(sent) + sent
        )


class Seen(msgspec.Struct):
    """What the callers of a round saw."""

    ended: dict[str, float] = {}
    """Of answers with status 200: the caller's word -> when it had it."""
    sent: int = 0
    is_over: bool = False
    killed_at: float = 0.0
    mended_at: float = 0.0

    @property
    def is_answered_again(self) -> bool:
        return any(at > self.mended_at for at in self.ended.values())


async def caller(number: int, round_number: int, port: int, key: str, seen: Seen) -> None:
    """Asks until told to stop; each request has a word of its own, which is its session too."""
    count = 0
    while not seen.is_over:
        count += 1
        seen.sent += 1
        word = f"r{round_number}-{number}-{count}"
        try:
            async with asyncio.timeout(20):
                if await ask(port, key, word):
                    seen.ended[word] = time.time()
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            await asyncio.sleep(0.02)


async def ask(port: int, key: str, word: str) -> bool:
    """Whether the whole answer came."""
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
        await reader.readexactly(int(length[1])) if length else await reader.read()
        return told.startswith(b"HTTP/1.1 200")
    finally:
        writer.close()


class Cluster:
    """The compose set-up, and what is asked of its store. Lives from `start` to `stop`."""

    def __init__(self, compose: Any) -> None:
        self.compose = compose
        self.key = ""

    @property
    def port(self) -> int:
        port: int = self.compose.services["nginx"].port
        return port

    async def start(self) -> None:
        """With a key that has a budget and a rate, so that each request goes by Redis."""
        await asyncio.to_thread(self.compose.start)
        rules = {"requests_per_minute": 1_000_000, "concurrency": 1_000}
        made = await self._manage("keys", {"name": "crash", "rules": rules})
        self.key = made["secret"]
        budget = {"scope": "key", "scope_id": made["id"], "period": "total", "limit_usd": "1000000"}
        await self._manage("budgets", budget)

    async def kill(self, victim: str, draw: random.Random) -> Any:
        """The word of what was killed, to be given to `mend`."""
        services = self.compose.services
        service = services[draw.choice(("gateway-1", "gateway-2")) if victim in ("gateway", "data plane") else victim]
        if victim == "data plane":
            pids = re.findall(r'"child": "data plane \d+", "child_pid": (\d+)', (service.folder / "log").read_text())
            os.kill(int(draw.choice(pids[-2:])), signal.SIGKILL)
            return None
        # Only the supervisor, or only the postmaster with its children: what hangs on it must end by itself.
        self.compose.end(service, signal.SIGKILL)
        return service

    async def mend(self, service: Any) -> None:
        start = {"postgres": self.compose.start_postgres, "valkey": self.compose.start_valkey}
        if service is not None:
            await asyncio.to_thread(start.get(service.name, self.compose.start_gateway), service)

    async def ask_store(self, *questions: tuple[str, Sequence[Any]]) -> list[Any]:
        """Rows of each question, in one snapshot."""
        environment = self.compose.services["gateway-1"].env
        connection = await asyncpg.connect(environment["TRUNKLINE_STORE_URL"])
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return [await connection.fetch(text, *given) for text, given in questions]
        finally:
            await connection.close()

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


async def crash_round(number: int, cluster: Cluster, provider: Provider, draw: random.Random, victim: str) -> list[str]:
    """Load, a kill in the middle of it, the mend, more load; then the books are read."""
    seen = Seen()
    callers = [asyncio.create_task(caller(one, number, cluster.port, cluster.key, seen)) for one in range(CALLERS)]
    await asyncio.sleep(draw.uniform(0.5, 2.0))
    seen.killed_at = time.time()
    killed = await cluster.kill(victim, draw)
    await asyncio.sleep(draw.uniform(0.0, 1.0))
    await cluster.mend(killed)
    seen.mended_at = time.time()
    await asyncio.sleep(1.0)
    while not seen.is_answered_again and time.time() < seen.mended_at + ANSWERS_WITHIN_S:  # noqa: ASYNC110 - the cluster brings it about
        await asyncio.sleep(0.1)
    seen.is_over = True
    await asyncio.gather(*callers)
    return await settled_faults(number, cluster, provider, seen, victim)


async def settled_faults(number: int, cluster: Cluster, provider: Provider, seen: Seen, victim: str) -> list[str]:
    """What the books have wrong once everything has come in; the journal of a gateway and the intents of a dead one need their time."""
    until = time.monotonic() + SETTLED_WITHIN_S
    while True:
        found = await faults(number, cluster, provider, seen, victim)
        if not found or time.monotonic() > until:
            return found
        await asyncio.sleep(1.0)


async def faults(number: int, cluster: Cluster, provider: Provider, seen: Seen, victim: str) -> list[str]:
    """In words."""
    columns = ", ".join(name for name in RECORD_COLUMNS if name in ("id", "session_id", "outcome", "cost_pico_usd"))
    try:
        rows, interrupted, sums, figures = await cluster.ask_store(
            (f"SELECT {columns} FROM records WHERE session_id LIKE $1", [f"r{number}-%"]),
            ("SELECT id, cost_pico_usd FROM records WHERE outcome = 'interrupted'", []),
            (SUMS[0], []),
            (SUMS[1], [3_600]),
        )
    except (OSError, asyncpg.PostgresError) as error:
        return [f"the store cannot be read: {error!r}"]
    times = Counter(row["session_id"] for row in rows)
    costs = {row["session_id"]: row["cost_pico_usd"] for row in rows}
    must = [word for word, at in seen.ended.items() if not seen.killed_at - GRACE_S <= at <= seen.killed_at]
    calls = sum(len(costs) for word, costs in provider.counted.items() if word.startswith(f"r{number}-"))
    lost = [word for word in must if not times[word]]
    wrong = [word for word in must if times[word] and costs[word] != sum(provider.counted[word])]
    twice = [word for word, count in times.items() if count > 1]
    charged = [row["id"] for row in interrupted if not 0 <= row["cost_pico_usd"] <= WORST_PICO_USD]
    print(
        f"  {victim}: {seen.sent} requests, {len(seen.ended)} answered, {calls} calls, {len(rows)} records, {len(interrupted)} interrupted in all"
    )
    checks = (
        (must, "no answer ended: nothing was tried"),
        (seen.is_answered_again, f"nothing was answered within {ANSWERS_WITHIN_S:.0f} s of the mend"),
        (not lost, f"{len(lost)} of {len(must)} answers have no record: {lost[:5]}"),
        (not wrong, f"{len(wrong)} bills are not what the provider counted: {wrong[:5]}"),
        (not twice, f"{len(twice)} requests are there twice: {twice[:5]}"),
        (not charged, f"{len(charged)} interrupted calls are charged more than their worst case: {charged[:5]}"),
        (sums[0][1] == figures[0][0], f"the figures say {figures[0][0]}, the records {sums[0][1]}"),
    )
    return [words for held, words in checks if not held]


def compose_script() -> ModuleType:
    """`deploy/` is no package."""
    spec = importlib.util.spec_from_file_location("compose_without_containers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


async def run(rounds: int, seed: int, folder: Path) -> list[str]:
    """All rounds; what was wrong in each."""
    draw, provider = random.Random(seed), Provider(seed)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    compose = compose_script().Compose(folder, more_toml=CONFIG.format(port=server.sockets[0].getsockname()[1]))
    cluster, broken = Cluster(compose), []
    try:
        await cluster.start()
        for number in range(1, rounds + 1):
            print(f"round {number} of {rounds}", flush=True)
            victim = VICTIMS[(number - 1) % len(VICTIMS)]
            found = await crash_round(number, cluster, provider, draw, victim)
            broken += [f"round {number} ({victim}): {words}" for words in found]
    finally:
        await asyncio.to_thread(compose.stop)
        server.close()
    return broken


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.crash_cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="how often something is killed")
    parser.add_argument("--seed", type=int, default=1, help="of the load and of the moments of the kills")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="tl-crash-") as folder:
        broken = asyncio.run(run(given.rounds, given.seed, Path(folder)))
    print(
        "\n".join(f"BROKEN: {words}" for words in broken)
        or "Nothing that had to be kept was lost, and the books agree."
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
