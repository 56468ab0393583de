"""A prepaid organisation at a running gateway: its requests are paid from its wallets, to the pico-dollar, and refused when these are empty."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fakes.gateway import (
    CHAT,
    GatewayProcess,
    base_toml,
    eventually,
    model_toml,
    provider_toml,
    start_gateway,
    upstream_name,
)
from tests.fakes.terms import Terms, greedy
from tests.fakes.upstream import Upstream
from trunkline.accounts.types import KeyRules
from trunkline.pricing.money import pico_usd
from trunkline.storage.ledger_check import Checked, check
from trunkline.storage.queries import Store

ORG = "org_default"
MODEL = "acme/plain"
CREDITS = "/api/v1/management/credits"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("prepaid")
    parts = [
        base_toml(folder),
        provider_toml("first", upstream.url("first")),
        model_toml(MODEL, ("first",), "max_output_tokens = 1_000\ncontext_tokens = 100_000"),
    ]
    upstream.plays("first", upstream_name(MODEL), greedy())
    made = start_gateway(folder, "\n".join(parts))
    yield made
    assert made.stop() == 0, made.log


def manage(gateway: GatewayProcess, method: str, path: str, body: Any = None) -> Any:
    answer = gateway.request(method, path, body)
    assert answer.status in (200, 201), answer.body
    return answer.json["data"]


def checked(gateway: GatewayProcess) -> Checked:
    async def ask() -> Checked:
        async with await Store.open(f"sqlite:///{gateway.database}") as store:
            return await check(store)

    return asyncio.run(ask())


def test_what_requests_cost_is_taken_from_the_wallets_and_no_more_is_spent_than_they_hold(
    gateway: GatewayProcess,
) -> None:
    eventually(lambda: gateway.request("GET", CREDITS).status == 200)
    manage(gateway, "PATCH", f"/api/v1/management/organisations/{ORG}", {"prepaid": True})
    bonus = manage(gateway, "POST", CREDITS, {"amount_usd": "0.01", "kind": "bonus"})["id"]
    paid = manage(gateway, "POST", CREDITS, {"amount_usd": "0.03"})["id"]
    made = Terms(gateway).key(KeyRules())
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1_000}

    def ask(_: int) -> Any:
        return gateway.request("POST", CHAT, body, key=made.secret)

    def left() -> int:
        return pico_usd(manage(gateway, "GET", CREDITS)["left_usd"])

    # The gateway hears of credits and keys within a second.
    eventually(lambda: ask(0).status == 200)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(50)))
    assert {answer.status for answer in answers} == {200, 402}
    assert {answer.error["type"] for answer in answers if answer.status == 402} <= {
        "reject_no_credit",
        "insufficient_credit",
        "quote_exceeded",
    }
    good = [gateway.record(answer.id) for answer in answers if answer.status == 200]
    assert all(record.prepaid_by == ORG for record in good)
    for record in good:
        assert sum(charge.amount_pico_usd for charge in record.charges) == record.cost_pico_usd
        assert {charge.wallet for charge in record.charges} <= {bonus, paid}
    eventually(
        lambda: left() == pico_usd("0.04") - sum(record.cost_pico_usd for record in gateway._rows("key_id", made.id))
    )
    assert 0 <= left() < pico_usd("0.04")
    wallets = {one["id"]: one["left_usd"] for one in manage(gateway, "GET", CREDITS)["wallets"]}
    assert wallets[bonus] == "0", "the bonus goes first"
    found = checked(gateway)
    assert found.faults == ()
    assert found.prepaid >= len(good)
