"""Does beforehand what the first reader of a page would wait for. In: the console's app. Out: nothing; templates and answers that are remembered.

After a start, once the process has been idle for a while, and again when an hour has turned and what is over is to be read anew. In small steps with
pauses, so that neither pages nor the data plane beside them wait for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from fastapi import FastAPI

from trunkline.api.management.console import Console
from trunkline.errors import StoreError
from trunkline.records.figures import HOUR_S
from trunkline.storage.statistics import LATE_S
from trunkline.web import cost, credentials, facts, keys_page, models, samples, status, usage, use, use_query

FIRST_S = 10.0
PAUSE_S = 0.1
AFTER_S = LATE_S + 30
"""So long after the hour it is over for the figures, too (see `statistics`)."""
DAYS = ("7", "30", "90")
Step = Callable[[], Awaitable[Any]]


async def keep_warm(app: FastAPI, log: Any) -> None:
    """Until cancelled. What cannot be done is left to the first reader."""
    console: Console = app.state.console
    pause_s = FIRST_S
    while True:
        await asyncio.sleep(pause_s)
        try:
            await warm(app)
        except StoreError as error:
            log.warning("pages could not be prepared", error=str(error))
        now_s = console.now_ms() / 1000
        pause_s = HOUR_S - (now_s - AFTER_S) % HOUR_S


async def warm(app: FastAPI, pause_s: float = PAUSE_S) -> None:
    """Once."""
    console: Console = app.state.console
    for name in app.state.pages.names():
        app.state.pages.load(name)
        await asyncio.sleep(pause_s)
    for step in _steps(app, console):
        await step()
        await asyncio.sleep(pause_s)


def _steps(app: FastAPI, console: Console) -> Iterator[Step]:
    """What pages ask for that nobody has narrowed down."""
    now_s, past = int(console.now_ms() // 1000), app.state.past
    yield partial(facts.figures_of_days, console, 1)
    yield partial(facts.figures_of_days, console, models.DAYS)
    yield partial(status.provider_lines, console, past, {}, "")
    yield partial(status.told, console, past, status.FIRST_RANGE)
    yield partial(keys_page.uses, console)
    yield partial(credentials.figures_of_day, console)
    listed = app.state.rated.now(console.catalog, console.now_ms())
    for days in DAYS:
        for by in ("model", "key"):
            query = {"days": days, "by": by}
            yield partial(use.shown, console, use_query.asked(query, usage.CHOICES, now_s))
            yield partial(cost.figures, console, use_query.asked(query, cost.CHOICES, now_s), listed)
    by_type = use_query.asked({"days": DAYS[-1], "by": "type"}, cost.CHOICES, now_s)
    yield partial(cost.figures, console, by_type, listed)
    known = next(iter(console.catalog.models.values()), None)
    if known is not None:
        # Its samples are coloured, by a library that takes a while to load.
        yield partial(asyncio.to_thread, samples.shown, console.settings.address, known.slug, samples.KEY_NAME)
