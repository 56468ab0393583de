"""Records of use with figures that one can add up in one's head, and a signed-in reader. In: what was used. Out: records that ended just now."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser

import httpx2
import msgspec

from tests.fakes.console import MASTER_KEY, RunningConsole
from tests.fakes.records import a_record
from trunkline.ir.usage import Usage
from trunkline.pricing.types import Cost
from trunkline.records.types import Attempt, Record

HOUR_MS = 3_600_000


USAGE = Usage(input_tokens=600, cache_read_tokens=400, output_tokens=500)


def a_use(
    number: int,
    *,
    offer: str = "acme/alpha:acme",
    usage: Usage = USAGE,
    usd: float = 1,
    unpriced: tuple[str, ...] = (),
    ago_h: float = 0,
    **changes: object,
) -> Record:
    """One answered request: 1,000 tokens in, 400 of them from a cache, 500 out, unless `usage` says else."""
    model, _, provider = offer.rpartition(":")
    ended_ms = time.time() * 1000 - ago_h * HOUR_MS
    cost = Cost(total_pico_usd=int(usd * 10**12), unpriced=unpriced)
    attempt = Attempt(provider, offer, "m", ended_ms - 900, ended_ms, status=200, usage=usage, cost=cost)
    return msgspec.structs.replace(
        a_record(number), received_ms=ended_ms - 1000, ended_ms=ended_ms, model=model, offer=offer, provider=provider,
        attempts=(attempt,), usage=usage, cost=cost, cost_pico_usd=cost.total_pico_usd, **changes,
    )  # fmt: skip


@contextmanager
def reader(console: RunningConsole) -> Iterator[httpx2.Client]:
    """Somebody who has signed in; `headers` has the session's token too."""
    with console.client(None, accept="text/html") as people:
        answer = people.post("/sign-in", data={"key": MASTER_KEY, "next": "/"})
        people.headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', people.get("/").text)
        assert found
        people.headers["x-csrf-token"] = found[1]
        yield people


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self._skipping = ""
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._skipping = tag
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag == self._skipping:
            self._skipping = ""
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._skipping:
            return
        self.words += data.split()
        if self._in_cell and self.rows:
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data.strip()}".strip()


def words(page: str) -> str:
    """What one reads on a page, with single blanks."""
    text = _Text()
    # It parts no words.
    text.feed(page.replace("<bdi>", "").replace("</bdi>", ""))
    return " ".join(text.words)


def rows(page: str) -> list[list[str]]:
    """The cells of all rows of all tables."""
    text = _Text()
    text.feed(page)
    return text.rows
