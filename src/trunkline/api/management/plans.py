"""What clients of ZenMux ask of an account: `payg/balance`, `subscription/detail`, `flow_rate`. In: a management key. Out: ZenMux's objects.

https://docs.zenmux.ai/api/platform/payg-balance.html, subscription-detail.html, flow-rate.html. There are no subscriptions here: a Flow is a dollar, and the
quotas of a week and a month are the organisation's budgets of these. What there is not is null.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from trunkline.accounts.types import Actor
from trunkline.api.management.access import ConsoleOf, allowed
from trunkline.api.management.console import Console
from trunkline.storage.budgets import BudgetQuery, BudgetStanding, find_budgets, standings
from trunkline.storage.ledger import credits_of

PICO = 10**12
USD_PER_FLOW = 1.0
MOST_BUDGETS = 1_000
Looker = Annotated[Actor, Depends(allowed("credits.see"))]


class Balance(BaseModel):
    """USD. The total is the sum of the other two."""

    currency: Literal["usd"] = "usd"
    total_credits: float
    top_up_credits: float
    bonus_credits: float


class BalanceAnswer(BaseModel):
    success: Literal[True] = True
    data: Balance


class FlowRate(BaseModel):
    currency: Literal["usd"] = "usd"
    base_usd_per_flow: float = USD_PER_FLOW
    effective_usd_per_flow: float = USD_PER_FLOW


class FlowRateAnswer(BaseModel):
    success: Literal[True] = True
    data: FlowRate


class Plan(BaseModel):
    """Of one's own gateway: it costs nothing and does not end."""

    tier: Literal["self-hosted"] = "self-hosted"
    amount_usd: float = 0.0
    interval: Literal["month"] = "month"
    expires_at: None = None


class Most(BaseModel):
    max_flows: float
    max_value_usd: float


class Quota(Most):
    """A budget in its present period. `usage_percentage` is a share: 0.5 is half."""

    usage_percentage: float
    resets_at: str | None
    used_flows: float
    remaining_flows: float
    used_value_usd: float


class Subscription(BaseModel):
    plan: Plan = Plan()
    currency: Literal["usd"] = "usd"
    base_usd_per_flow: float = USD_PER_FLOW
    effective_usd_per_flow: float = USD_PER_FLOW
    account_status: Literal["healthy"] = "healthy"
    quota_5_hour: None = None
    quota_7_day: Quota | None = None
    quota_monthly: Most | None = None


class SubscriptionAnswer(BaseModel):
    success: Literal[True] = True
    data: Subscription


router = APIRouter(prefix="/api/v1/management")


@router.get("/payg/balance")
async def payg_balance(actor: Looker, console: ConsoleOf) -> BalanceAnswer:
    """What is left in the organisation's wallets."""
    found = await credits_of(console.store, actor.org_id)
    return BalanceAnswer(
        data=Balance(
            total_credits=found.left_pico_usd / PICO,
            top_up_credits=found.left_of("top_up") / PICO,
            bonus_credits=found.left_of("bonus") / PICO,
        )
    )


@router.get("/flow_rate")
async def flow_rate(_: Looker) -> FlowRateAnswer:
    """A Flow is a dollar here."""
    return FlowRateAnswer(data=FlowRate())


@router.get("/subscription/detail")
async def subscription_detail(actor: Looker, console: ConsoleOf) -> SubscriptionAnswer:
    """The organisation's own budgets, as quotas; of several of a period the smallest."""
    found = await _standings(console, actor.org_id)
    week, month = _smallest(found, "week"), _smallest(found, "month")
    return SubscriptionAnswer(
        data=Subscription(
            quota_7_day=None if week is None else _quota(week),
            quota_monthly=None if month is None else Most(**_most(month)),
        )
    )


async def _standings(console: Console, org_id: str) -> list[BudgetStanding]:
    query = BudgetQuery(org_id=org_id, scope="organisation", scope_id=org_id, limit=MOST_BUDGETS)
    budgets = await find_budgets(console.store, query)
    return await standings(console.store, budgets, console.now_ms())


def _smallest(found: list[BudgetStanding], period: str) -> BudgetStanding | None:
    of_period = [one for one in found if one.budget.period == period]
    return min(of_period, key=lambda one: one.budget.limit_pico_usd, default=None)


def _most(standing: BudgetStanding) -> dict[str, float]:
    limit = standing.budget.limit_pico_usd / PICO
    return {"max_flows": limit / USD_PER_FLOW, "max_value_usd": limit}


def _quota(standing: BudgetStanding) -> Quota:
    limit, spent = standing.budget.limit_pico_usd, standing.spent_pico_usd
    ends_ms = standing.ends_ms
    return Quota(
        **_most(standing),
        usage_percentage=round(spent / limit, 4) if limit else 1.0,
        resets_at=None if ends_ms is None else datetime.fromtimestamp(ends_ms / 1000, UTC).isoformat(),
        used_flows=spent / PICO / USD_PER_FLOW,
        remaining_flows=max(standing.left_pico_usd, 0) / PICO / USD_PER_FLOW,
        used_value_usd=spent / PICO,
    )
