"""The first steps with a gateway: a provider, a key, a request, its record. In: the console. Out: which are done, and a part that ticks them off.

Shown on the start page and in the empty log until the first answer is there. The part asks again every few seconds and gets an answer only where
something has changed, so that nothing moves under the reader's hands.
"""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from trunkline.accounts.keys import is_valid
from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.console import Console
from trunkline.api.management.providers import ProviderCard, provider_cards
from trunkline.records.types import Record
from trunkline.web import session_key
from trunkline.web.reachable import callable_models, curl_sample
from trunkline.web.render import pages_of
from trunkline.web.session import OpenReader

FIRST_RECORDS = 20
"""With so many, somebody knows the way, whatever became of them."""
WAYS = 5
SMALL_MODEL = "qwen2.5-coder-0.5b-instruct"


class FirstRun(msgspec.Struct, frozen=True):
    """How far somebody has come."""

    ready: tuple[str, ...]
    """Names of the providers that can be called."""
    model: str
    """One that can be called; empty: none can."""
    has_key: bool
    newest: Record | None
    answered: bool
    many: bool
    """There are requests enough: nobody needs this any more."""

    @property
    def done(self) -> tuple[bool, bool, bool, bool]:
        """Provider, key, request, answer."""
        return bool(self.model), self.has_key or self.answered, self.newest is not None, self.answered

    @property
    def finished(self) -> bool:
        return self.answered or self.many

    @property
    def state(self) -> str:
        """What a part of the page shows, in short: it changes when that does."""
        newest = self.newest.id if self.newest and not self.answered else ""
        return "".join("1" if done else "0" for done in self.done) + newest


router = APIRouter(include_in_schema=False)


@router.get("/first-steps", response_class=Response)
async def first_steps(
    request: Request, console: ConsoleOf, reader: OpenReader, seen: str = "", samples: str = ""
) -> Response:
    """The part by itself; 204 where the reader has `seen` this state already. `samples` is `below` where the page around it has some."""
    del reader
    run = await first_run(console)
    if seen == run.state:
        return Response(status_code=204, headers={"cache-control": "no-store"})
    return pages_of(request).page(request, "parts/first_steps.html", shown(console, run, samples))


async def steps_left(request: Request, console: Console, samples: str = "") -> dict[str, Any]:
    """What a page shows that has `parts/first_steps.html`; nothing once the way was gone, which is then known for good."""
    if getattr(request.app.state, "first_run_over", False):
        return {}
    run = await first_run(console)
    if run.finished:
        request.app.state.first_run_over = True
        return {}
    return shown(console, run, samples)


async def first_run(console: Console) -> FirstRun:
    """As it is now."""
    newest = await console.store.recent(FIRST_RECORDS)
    keys = await console.store.list_keys()
    rows = callable_models(console)
    now_ms = console.now_ms()
    return FirstRun(
        ready=tuple(card.name for card in provider_cards(console, {}) if card.state == "ready" and card.models),
        model=rows[0].slug if rows else "",
        has_key=any(is_valid(key, now_ms) and key.name != session_key.NAME for key in keys),
        newest=newest[0] if newest else None,
        answered=any(record.outcome == "ok" for record in newest),
        many=len(newest) == FIRST_RECORDS,
    )


def shown(console: Console, run: FirstRun, samples: str = "") -> dict[str, Any]:
    """What `parts/first_steps.html` needs."""
    base_url = f"{console.settings.address}/api/v1"
    return {
        "run": run,
        "samples": "below" if samples == "below" else "",
        "base_url": base_url,
        "first_curl": curl_sample(base_url, run.model) if run.model else "",
        "ways": worth_showing(provider_cards(console, {}))[:WAYS],
        "small_model": SMALL_MODEL,
    }


def worth_showing(cards: list[ProviderCard]) -> list[ProviderCard]:
    """Providers that are not ready and whose setting up is a matter of variables, those with most models first."""
    absent = [card for card in cards if card.state == "absent" and card.models]
    return sorted(absent, key=lambda card: (-card.models, card.name.lower()))
