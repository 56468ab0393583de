"""Real Chromium before a real gateway with weeks of traffic behind it.

`page` (nobody signed in) and `signed_in` are Playwright pages whose addresses are paths of this gateway: `page.goto("/models")`. Each test has its own,
with cookies of its own; it fails on errors of the console, exceptions, breaches of the policy and requests to other hosts, unless it says
`faults.allow("404")`. What to hold a page to is in `tests.fakes.browsing`.
"""

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.fakes.browsing import CHROMIUM, PATIENCE_MS, WIDE, Faults
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
from tests.fakes.simulated import SimulatedProvider, simulated_server
from tests.fakes.traffic import traffic
from trunkline.records.types import Record
from trunkline.storage import migrate
from trunkline.storage.sqlite_batch import SqliteBatch

__all__ = ["simulated_server"]

DAY_S = 86_400
LONG_NAME = "acme/an-instruction-tuned-mixture-of-experts-with-a-name-that-goes-on-128x22b-preview-2026-11-24"
ASKED = ("What is in this image?", "Name three rivers.", "<script>alert(1)</script>")


def seen_before(count: int = 1500, days: int = 30) -> list[Record]:
    """Weeks of traffic of four models at three providers, until now."""
    return [_as_of_the_seed(record) for record in traffic(count, over_s=days * DAY_S, until_ms=time.time() * 1000)]


def _as_of_the_seed(record: Record) -> Record:
    """Every other request for beta was one for o4-mini, at OpenAI and Azure."""
    if record.model != "acme/beta" or record.key_id == "key_1":
        return record
    text = msgspec.json.encode(record).replace(b"acme/beta", b"openai/o4-mini").replace(b'"acme"', b'"openai"')
    return msgspec.json.decode(text.replace(b"o4-mini:acme", b"o4-mini:openai"), type=Record)


@pytest.fixture(scope="package")
def gateway(tmp_path_factory: pytest.TempPathFactory, simulated_server: SimulatedProvider) -> Iterator[GatewayProcess]:
    """Four models with figures, one with a long name, and all of the catalog; o4-mini answers (simulated)."""
    folder = tmp_path_factory.mktemp("browser")
    local = simulated_server.base_url
    config = [
        base_toml(folder),
        '[capture]\nbodies = "full"\n',
        provider_toml("acme", local),
        o4_mini_toml(simulated_server),
        *(model_toml(slug, ("acme", "azure")) for slug in ("acme/alpha", "acme/beta", "other/gamma")),
        model_toml(LONG_NAME, ("acme",), "context_tokens = 1_048_576"),
    ]
    path = folder / "trunkline.db"
    migrate.upgrade(f"sqlite:///{path}")
    batch = SqliteBatch(path)
    batch.write(seen_before(), (), ())
    batch.fold(time.time() * 1000)
    batch.close()
    made = start_gateway(folder, "\n".join(config))
    eventually(lambda: made.get("/api/v1/generation?id=none").status == 404, "the console's readiness")
    for question in ASKED:
        made.stream("openai/o4-mini", question)
    yield made
    assert made.stop() == 0, made.log


@pytest.fixture(scope="package")
def ids(gateway: GatewayProcess) -> dict[str, str]:
    """A `record` of a request that has just been answered, and a `key`, as the addresses of pages name them."""
    made = gateway.request("POST", "/api/v1/management/keys", {"name": "a laptop"})
    answer = gateway.stream("openai/o4-mini", ASKED[0])
    of_key = {"scope": "key", "scope_id": made.json["id"], "period": "month", "limit_usd": "10"}
    budget = gateway.request("POST", "/api/v1/management/budgets", of_key)
    secret = {"provider": "groq", "name": "a team's", "secret": "sk-of-nobody-0123456789"}
    credential = gateway.request("POST", "/api/v1/management/credentials", secret).json["id"]
    # Revoked at once: the pages of models are to show what this gateway's own file has.
    gateway.request("DELETE", f"/api/v1/management/credentials/{credential}")
    # Invited only: nobody can sign in with a password, so the page of signing in stays as it is.
    invited = gateway.request("POST", "/api/v1/management/members", {"email": "alice@example.com", "name": "Alice"})
    invitation = invited.json["data"]
    gateway.request("POST", "/api/v1/management/projects", {"name": "search"})
    return {
        "member": invitation["member"]["id"],
        "join": "/sign-in/join?" + invitation["link"].partition("?")[2],
        "record": gateway.record(answer.id).id,
        "key": made.json["id"],
        "budget": budget.json["id"],
        "credential": credential,
    }


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--font-render-hinting=none"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def signed_in_state(browser: Browser, gateway: GatewayProcess) -> Any:
    """What a browser keeps of having signed in."""
    context = browser.new_context(base_url=address(gateway))
    page = context.new_page()
    page.goto("/sign-in?next=/")
    page.get_by_role("textbox", name="Master key").fill(MASTER_KEY)
    page.keyboard.press("Enter")
    page.wait_for_url("/")
    state = context.storage_state()
    context.close()
    return state


def address(gateway: GatewayProcess) -> str:
    return f"http://127.0.0.1:{gateway.port}"


@pytest.fixture
def faults(gateway: GatewayProcess) -> Iterator[Faults]:
    """What this test's pages did wrong; must be nothing at its end."""
    found = Faults(f"127.0.0.1:{gateway.port}")
    yield found
    assert found.left == []


def _context(browser: Browser, gateway: GatewayProcess, faults: Faults, state: Any) -> BrowserContext:
    context = browser.new_context(
        base_url=address(gateway), viewport=WIDE, storage_state=state, reduced_motion="reduce", locale="en-GB",
        timezone_id="UTC", permissions=["clipboard-read", "clipboard-write"],
    )  # fmt: skip
    context.set_default_timeout(PATIENCE_MS)
    faults.watch(context)
    return context


@pytest.fixture
def page(browser: Browser, gateway: GatewayProcess, faults: Faults) -> Iterator[Page]:
    """A page of somebody unknown."""
    context = _context(browser, gateway, faults, None)
    yield context.new_page()
    context.close()


@pytest.fixture
def signed_in(browser: Browser, gateway: GatewayProcess, faults: Faults, signed_in_state: Any) -> Iterator[Page]:
    """A page of somebody who has signed in with the master key."""
    context = _context(browser, gateway, faults, signed_in_state)
    yield context.new_page()
    context.close()


@pytest.fixture
def signed_in_anew(page: Page) -> Page:
    """A page whose session is this test's own, to be ended."""
    page.goto("/sign-in?next=/")
    page.get_by_role("textbox", name="Master key").fill(MASTER_KEY)
    page.keyboard.press("Enter")
    page.wait_for_url("/")
    return page
