"""Which part of a prompt was read from the provider's cache and which was written into it.

In: the places of a prompt, the time. Out: a frozen `Cached`. Rules:
https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

import msgspec

from trunkline.simulate.arrival import Mark

LOOK_BACK = 20
"""Blocks before a breakpoint at which an earlier entry is looked for."""
HOUR_S = 3600


class Cached(msgspec.Struct, frozen=True):
    read: int = 0
    written_5m: int = 0
    written_1h: int = 0


class PromptCache:
    """Lives as long as the server: entries of all providers, by the hash of the prompt up to them."""

    def __init__(self) -> None:
        self.ends: dict[tuple[str, bytes], tuple[float, int]] = {}

    def use(self, provider: str, marks: tuple[Mark, ...], least_tokens: int, now_s: float) -> Cached:
        """Reads the longest entry that fits, then writes up to each breakpoint behind it. A read starts the entry's
        time anew."""
        found = self.longest(provider, marks, now_s)
        if found is not None:
            key = (provider, found.digest)
            self.ends[key] = (now_s + self.ends[key][1], self.ends[key][1])
        read = done = found.tokens if found else 0
        written = {False: 0, True: 0}
        for mark in marks:
            if not mark.ttl_s or mark.tokens <= done or mark.tokens < least_tokens:
                continue
            written[mark.ttl_s >= HOUR_S] += mark.tokens - done
            done = mark.tokens
            self.ends[provider, mark.digest] = (now_s + mark.ttl_s, mark.ttl_s)
        return Cached(read, written[False], written[True])

    def longest(self, provider: str, marks: tuple[Mark, ...], now_s: float) -> Mark | None:
        for position in range(len(marks) - 1, -1, -1):
            near = any(mark.ttl_s for mark in marks[position : position + LOOK_BACK])
            if near and self.ends.get((provider, marks[position].digest), (0.0, 0))[0] > now_s:
                return marks[position]
        return None

    def clear(self) -> None:
        self.ends.clear()
