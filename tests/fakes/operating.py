"""Whoever runs the gateway, before its pages. In: a client, the master key. Out: headers of a session, and text as it is read.

`live` is a real gateway over the simulated provider, with weeks of traffic of four models and no key for anyone else.
"""

import html
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.fakes.gateway import (
    MASTER_KEY,
    GatewayProcess,
    base_toml,
    eventually,
    model_toml,
    o4_mini_toml,
    provider_toml,
    start_gateway,
)
from tests.fakes.simulated import SimulatedProvider
from tests.fakes.traffic import traffic
from trunkline.storage import migrate
from trunkline.storage.sqlite_batch import SqliteBatch

WEEKS_S = 30 * 86_400


def session_of(people: httpx2.Client, key: str) -> dict[str, str]:
    """Headers of a new session: its cookie, and the token that a change needs."""
    answer = people.post("/sign-in", data={"key": key, "next": "/"}, headers={"x-trunkline-peer": "192.0.2.77"})
    assert answer.status_code == 303, answer.text
    cookie = answer.headers["set-cookie"].partition(";")[0]
    page = people.get("/", headers={"cookie": cookie, "accept": "text/html"}).text
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert found
    return {"cookie": cookie, "x-csrf-token": found[1], "accept": "text/html"}


def text_of(answer: httpx2.Response) -> str:
    """Without tags, as one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory, simulated_server: SimulatedProvider) -> Iterator[GatewayProcess]:
    folder: Path = tmp_path_factory.mktemp("live")
    local = simulated_server.base_url
    config = [
        base_toml(folder),
        provider_toml("acme", local),
        provider_toml("locked", simulated_server.url("locked-sim"), key="sk-not-the-right-one"),
        o4_mini_toml(simulated_server),
        *(model_toml(slug, ("acme",)) for slug in ("acme/alpha", "acme/beta", "other/gamma")),
        model_toml("acme/locked", ("locked",)),
    ]
    store = folder / "trunkline.db"
    migrate.upgrade(f"sqlite:///{store}")
    batch = SqliteBatch(store)
    batch.write(traffic(200, over_s=WEEKS_S, until_ms=time.time() * 1000), (), ())
    batch.fold(time.time() * 1000)
    batch.close()
    made = start_gateway(folder, "\n".join(config))
    eventually(lambda: made.get("/api/v1/generation?id=none").status == 404, "the console's readiness")
    yield made
    assert made.stop() == 0, made.log


@pytest.fixture
def stranger(live: GatewayProcess) -> Iterator[httpx2.Client]:
    """A browser that has not signed in."""
    with httpx2.Client(base_url=f"http://127.0.0.1:{live.port}", headers={"accept": "text/html"}, timeout=60) as made:
        yield made


@pytest.fixture
def operator(stranger: httpx2.Client) -> httpx2.Client:
    """One that has."""
    stranger.headers.update(session_of(stranger, MASTER_KEY))
    return stranger
