"""A trickle of requests of the demo's own: a few streams at a time, read to their end, until told to stop.

In: the gateway's port, a key, randomness. Out: a `Tally` that is counted up as it goes. It speaks HTTP/1.1 on a plain
socket, one connection a request, because it needs nothing more.
"""

import asyncio
import time
from random import Random

import msgspec

from trunkline.simulate.showcase import QUESTIONS, TARGETS

PAUSE_S = (0.5, 4.0)
"""Between two requests of a stream, divided by the demo's speed."""


class Tally(msgspec.Struct):
    """What the traffic has seen so far. `first_token_s` is the sum over all answers."""

    under_way: int = 0
    answered: int = 0
    failed: int = 0
    first_token_s: float = 0.0

    def line(self) -> str:
        mean_s = self.first_token_s / self.answered if self.answered else 0.0
        return (
            f"{self.answered} answered, {self.under_way} under way, {self.failed} failed, "
            f"first token after {mean_s:.2f} s on average"
        )


async def trickle(port: int, key: str, streams: int, speed: float, random: Random, tally: Tally) -> None:
    """Keeps `streams` requests going until it is cancelled."""
    async with asyncio.TaskGroup() as group:
        for number in range(streams):
            group.create_task(one_after_another(port, key, number, speed, random, tally))


async def one_after_another(port: int, key: str, number: int, speed: float, random: Random, tally: Tally) -> None:
    while True:
        model = TARGETS[number % len(TARGETS)]
        number += 1
        tally.under_way += 1
        try:
            tally.first_token_s += await ask(port, request(model, random.choice(QUESTIONS), key))
            tally.answered += 1
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            tally.failed += 1
        finally:
            tally.under_way -= 1
        await asyncio.sleep(random.uniform(*PAUSE_S) / speed)


def request(model: str, question: str, key: str) -> bytes:
    message = {"role": "user", "content": [{"type": "text", "text": question}]}
    body = msgspec.json.encode({"model": model, "stream": True, "messages": [message]})
    head = (
        "POST /api/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "X-Title: trunkline demo\r\n\r\n"
    )
    return head.encode() + body


async def ask(port: int, sent: bytes) -> float:
    """Seconds to the first text; raises where the answer is an error or breaks."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        status = await reader.readline()
        if b" 200 " not in status:
            raise ValueError(status.decode("latin-1").strip())
        await reader.readuntil(b'"content":"[')
        first_token_s = time.monotonic() - began
        rest = await reader.read()
        if b"[DONE]" not in rest:
            raise ValueError("the stream ended early")
        return first_token_s
    finally:
        writer.close()
