"""`GET /metrics` for Prometheus. In: counters, and what the gateway's parts say at this moment. Out: text, a piece at a time, so that no stream waits for it.

Of several data planes on one port whichever is asked answers for all: it asks the others on their own sockets, in a folder that only this user enters.
Open where the gateway listens on this machine alone, or where `[metrics] public` says so; else it needs the master key: models and costs are not for everyone.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from trunkline import __version__
from trunkline.accounts.keys import MASTER_ID, ApiKey
from trunkline.api.call import Call
from trunkline.api.workers import Page, Workers
from trunkline.errors import AccessDenied, RequestError, StoreError
from trunkline.execution.gateway import Gateway
from trunkline.execution.respond import Reply
from trunkline.routing.health import Figures
from trunkline.settings import Settings
from trunkline.telemetry.counters import Counters
from trunkline.telemetry.merging import MEAN, Merging, Rule
from trunkline.telemetry.text import CONTENT_TYPE, Family, Labels, line, render
from trunkline.telemetry.words import provider_name

PATH = "/metrics"
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})
_BREAKERS = {"closed": 0, "half_open": 1, "open": 2}


class Metrics:
    """Lives as long as the process."""

    def __init__(
        self,
        gateway: Gateway,
        counters: Counters,
        readiness: Callable[[], dict[str, Any]],
        settings: Settings,
        workers: Workers | None = None,
    ) -> None:
        self._gateway = gateway
        self._workers = workers
        self._counters = counters
        self._readiness = readiness
        self.take_over(settings)

    def take_over(self, settings: Settings) -> None:
        """From now on these settings say who may see it."""
        self._is_public, self._is_alone = settings.metrics.public, settings.is_alone

    def needs_key(self, call: Call) -> bool:
        """Whether the caller has to show that it may see this."""
        if self._is_public or is_of_this_run(call):
            return False
        return not self._is_alone or any(name in _FORWARDED for name, _ in call.headers)

    def scrape(self, call: Call, reply: Reply, key: ApiKey | None, refused: int) -> "Scraping":
        """Answer, in a moment. Raises AccessDenied for a key that may not see it."""
        if key is not None and key.id != MASTER_ID:
            raise AccessDenied("`/metrics` needs the master key, or `[metrics] public = true`.")
        return Scraping(self._families(refused), reply, self._workers, for_all=not is_of_this_run(call))

    async def keep_last(self, refused: int, all_stored: Callable[[], Awaitable[None]]) -> None:
        """What this process counted counts on where others go on."""
        if self._workers is None or self._workers.is_alone:
            return
        with contextlib.suppress(StoreError):
            await all_stored()
        await self._workers.keep(b"".join([render(family) for family in self._families(refused)]))

    def _families(self, refused: int) -> Iterator[Family]:
        yield from self._now(refused)
        yield from self._offers()
        yield from self._counters.families()

    def _now(self, refused: int) -> Iterator[Family]:
        state = self._readiness()
        store, upstream = state["store"], state["upstream"]
        version = (("version", __version__), ("catalog", self._gateway.snapshot.catalog.version))
        told = (
            ("trunkline_info", "gauge", "Versions; always 1.", version, 1),
            ("trunkline_ready", "gauge", "1 where requests can be taken.", (), int(state["ready"])),
            ("trunkline_workers", "gauge", "Data planes that this page is of.", (), 1),
            ("trunkline_requests_open", "gauge", "Requests under way.", (), self._gateway.open),
            ("trunkline_credentials_refused_total", "counter", "Requests without a good key.", (), refused),
            ("trunkline_records_waiting", "gauge", "Records and intents that are not stored yet.", (), store["queued"]),
            ("trunkline_records_written_total", "counter", "Records and intents stored.", (), store["written"]),
            ("trunkline_store_failures_total", "counter", "Batches that the store did not take.", (), store["failures"]),
            ("trunkline_upstream_connections", "gauge", "Connections to providers.", (), upstream["open"]),
            ("trunkline_upstream_connections_idle", "gauge", "Of these, kept for later.", (), upstream["idle"]),
            ("trunkline_upstream_connections_created_total", "counter", "Connections ever made.", (), upstream["created"]),
        )  # fmt: skip
        for name, kind, words, labels, value in told:
            yield Family(name, kind, words, [line(name, labels, value)])  # type: ignore[arg-type]

    def _offers(self) -> Iterator[Family]:
        """What routing goes by: the rolling figures of each offer that is measured."""
        now_s, snapshot = self._gateway.clock.now_s(), self._gateway.snapshot
        today = self._gateway.clock.today()
        rows: list[tuple[Labels, Figures]] = []
        for model in snapshot.catalog.models.values():
            for offer in snapshot.callable_offers(model, today):
                known = self._gateway.health.figures(offer.id, now_s)
                if known.attempts or known.in_flight:
                    labels = (
                        ("gen_ai_provider_name", provider_name(offer.provider)),
                        ("gen_ai_request_model", model.slug),
                    )
                    rows.append((labels, known))
        for name, words, value in _OFFER_GAUGES:
            lines = [line(name, labels, found) for labels, known in rows if (found := value(known)) is not None]
            yield Family(name, "gauge", words, lines)


class Scraping:
    """One answer in the making. Between its pieces others have their turn."""

    def __init__(self, families: Iterator[Family], reply: Reply, workers: Workers | None, *, for_all: bool) -> None:
        self._families = families
        self._reply = reply
        self._workers = workers
        self._for_all = for_all
        self.max_body_bytes = 0

    async def run(self, body: bytes) -> None:
        """Answer."""
        del body
        pieces = []
        for family in self._families:
            pieces.append(render(family))
            await asyncio.sleep(0)
        page, workers = b"".join(pieces), self._workers
        if workers is not None and not workers.is_alone:
            await workers.keep(page)
            if self._for_all:
                page = await _merged(page, await workers.pages())
        self._reply.whole(200, [(b"content-type", CONTENT_TYPE)], page)

    def refuse(self, error: RequestError) -> None:
        """A scrape has no body."""
        self._reply.whole(error.status, [(b"content-type", b"text/plain")], error.message.encode())

    def left(self) -> None:
        """Nothing is lost."""


def is_of_this_run(call: Call) -> bool:
    """Whether another process of ours asks: only these come by a unix socket."""
    return not call.peer


async def _merged(own: bytes, others: Sequence[Page]) -> bytes:
    """One page, with the word to others in between."""
    merging = Merging(_RULES)
    for page in (Page(own), *others):
        for _ in merging.take(page, is_gone=page.is_gone):
            await asyncio.sleep(0)
    pieces = []
    for piece in merging.pages():
        pieces.append(piece)
        await asyncio.sleep(0)
    return b"".join(pieces)


def _seconds(value_ms: float | None) -> float | None:
    return None if value_ms is None else value_ms / 1000


_OFFER_GAUGES: tuple[tuple[str, str, Callable[[Figures], float | None]], ...] = (
    ("trunkline_offer_first_token_seconds", "Median first-token latency, as routing sees it.", lambda known: _seconds(known.first_token_ms)),
    ("trunkline_offer_first_token_p95_seconds", "95th percentile of the same.", lambda known: _seconds(known.p95_ms)),
    ("trunkline_offer_tokens_per_second", "Throughput.", lambda known: known.tokens_per_second),
    ("trunkline_offer_uptime_ratio", "Attempts without 5xx, timeout, reset or cut stream.", lambda known: known.uptime),
    ("trunkline_offer_limited_ratio", "Attempts refused with 429.", lambda known: known.limited),
    ("trunkline_offer_breaker", "0 closed, 1 half-open, 2 open.", lambda known: _BREAKERS[known.breaker]),
    ("trunkline_offer_rest_seconds", "How long it asked to be left alone.", lambda known: known.rest_s or None),
    ("trunkline_offer_in_flight", "Attempts under way.", lambda known: known.in_flight),
)  # fmt: skip
_RULES: Mapping[str, Rule] = {
    "trunkline_info": max,
    "trunkline_ready": min,
    "trunkline_offer_first_token_seconds": MEAN,
    "trunkline_offer_first_token_p95_seconds": MEAN,
    "trunkline_offer_tokens_per_second": MEAN,
    "trunkline_offer_uptime_ratio": MEAN,
    "trunkline_offer_limited_ratio": MEAN,
    "trunkline_offer_breaker": max,
    "trunkline_offer_rest_seconds": max,
}
"""Gauges of several data planes, where their sum says nothing. What is measured of offers they tell each other, so it is nearly the same at all."""
