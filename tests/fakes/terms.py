"""Keys with budgets and rules in the store of a running gateway, and a provider that uses all that it may.

`Terms(gateway).key(rules, budgets)` -> the secret and id of a key that the gateway knows by then.
"""

import asyncio
import itertools
import json
import secrets
import time
from pathlib import Path
from typing import Any

import msgspec

from tests.fakes.gateway import GatewayProcess, eventually
from tests.fakes.upstream import STREAM_HEAD, Call, Script, completion, stream_of
from trunkline.accounts.keys import ApiKey, issue_key
from trunkline.accounts.secrets_file import load_or_make
from trunkline.accounts.types import NO_RULES, Actor, Budget, KeyRules, Period, Scope
from trunkline.storage.api_keys import keep_key
from trunkline.storage.budgets import BudgetStanding, create_budget, standings
from trunkline.storage.ledger import Credit, add_credit
from trunkline.storage.queries import Store

MASTER = Actor("master", "master", "master key", "admin")
PICO = 10**12


def usd(amount: float) -> int:
    return round(amount * PICO)


class Made(msgspec.Struct, frozen=True):
    secret: str
    id: str
    budgets: tuple[Budget, ...]


class Terms:
    """Lives as long as its gateway."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self._numbers = itertools.count()
        self._url = f"sqlite:///{gateway.database}"

    def key(self, rules: KeyRules = NO_RULES, *budgets: tuple[Period, int], **more: Any) -> Made:
        """A key, and its budgets in pico-USD."""
        return asyncio.run(self._key(rules, budgets, more))

    def budget(self, scope: Scope, scope_id: str, period: Period, limit: int, org_id: str = "org_default") -> Budget:
        """One more; it holds once the gateway has followed."""
        return asyncio.run(self._budget(scope, scope_id, period, limit, org_id))

    def credit(self, org_id: str, amount: int) -> None:
        """Put money in."""

        async def put() -> None:
            credit = Credit(org_id, "top_up", amount, secrets.token_hex(4))
            async with await Store.open(self._url) as store:
                await add_credit(
                    store, credit, MASTER, at_ms=int(time.time() * 1000), new_id=lambda: secrets.token_hex(8)
                )

        asyncio.run(put())

    def standing(self, budget: Budget) -> BudgetStanding:
        """As the store has it."""

        async def ask() -> BudgetStanding:
            async with await Store.open(self._url) as store:
                return (await standings(store, [budget], time.time() * 1000))[0]

        return asyncio.run(ask())

    async def _key(self, rules: KeyRules, budgets: Any, more: dict[str, Any]) -> Made:
        secrets_path = self._gateway.database.with_name(self._gateway.database.name + ".secrets")
        pepper = load_or_make(Path(secrets_path)).pepper
        issued = issue_key("test", pepper, secrets.token_bytes, now_ms=int(time.time() * 1000))
        key: ApiKey = msgspec.structs.replace(issued.key, rules=rules, **more)
        made = tuple([await self._budget("key", key.id, period, limit, key.org_id) for period, limit in budgets])
        async with await Store.open(self._url) as store:
            await keep_key(store, key, MASTER)
        return Made(issued.secret, key.id, made)

    async def _budget(self, scope: Scope, scope_id: str, period: Period, limit: int, org_id: str) -> Budget:
        budget = Budget(
            f"bud_{next(self._numbers)}_{secrets.token_hex(4)}",
            org_id,
            scope,
            scope_id,
            period,
            limit,
            int(time.time() * 1000),
        )
        async with await Store.open(self._url) as store:
            return await create_budget(store, budget, MASTER)

    def settled(self, made: Made, requests: int) -> None:
        """Wait until so many records of a key are in the store."""
        eventually(lambda: len(self._gateway._rows("key_id", made.id)) >= requests, f"{requests} records")


def greedy(prompt_tokens: int = 10, pause_s: float = 0.0) -> Script:
    """A provider that writes to the limit it was given, and counts so many tokens of prompt."""

    def script(call: Call) -> None:
        if pause_s:
            call.left.wait(pause_s)
        limit = limit_of(call)
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": limit,
            "total_tokens": prompt_tokens + limit,
        }
        if call.json.get("stream"):
            call.send(STREAM_HEAD + stream_of("hello", usage=usage))
            call.close()
        else:
            call.answer(200, completion(usage=usage))

    return script


def limit_of(call: Call) -> int:
    """The output limit that a provider was told; where it was told none, that of the models here."""
    body = json.loads(call.body)
    return int(body.get("max_completion_tokens") or body.get("max_tokens") or 1_000)
