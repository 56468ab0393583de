"""What is worth an alert. Pure. In: how budgets stand, incidents, use without a price. Out: `Alert`s, the same ones however often it is asked."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from trunkline.accounts.types import Budget
from trunkline.alerts.types import Alert
from trunkline.pricing.money import usd
from trunkline.records.figures import HOUR_S, Use
from trunkline.records.incidents import Incident

SCOPES = {"organisation": "organisation", "project": "project", "member": "member", "key": "API key"}
PERIODS = {"total": "budget", "day": "budget of a day", "week": "budget of a week", "month": "budget of a month"}


class Standing(Protocol):
    """How a budget stands: `storage.budgets.BudgetStanding`."""

    @property
    def budget(self) -> Budget: ...
    @property
    def spent_pico_usd(self) -> int: ...
    @property
    def start_ms(self) -> int: ...
    @property
    def ends_ms(self) -> int | None: ...


class Left(Protocol):
    """What an organisation has left: `storage.ledger.Credits`."""

    @property
    def org_id(self) -> str: ...
    @property
    def funded_pico_usd(self) -> int: ...
    @property
    def left_pico_usd(self) -> int: ...


def of_budgets(standings: Iterable[Standing]) -> list[Alert]:
    """One for each budget that has passed a threshold: the highest, so that one that runs out at once is told once."""
    found: list[Alert] = []
    for standing in standings:
        budget, spent = standing.budget, standing.spent_pico_usd
        # Exactly: spent / limit >= percent / 100.
        passed = [one for one in budget.alerts if spent * 100 >= budget.limit_pico_usd * one and spent > 0]
        if passed:
            found.append(_of_budget(standing, max(passed)))
    return found


def of_credits(credits: Iterable[Left], low_pico_usd: Callable[[str], int | None]) -> list[Alert]:
    """One for each prepaid organisation that has less left than its threshold; None: it has none."""
    found: list[Alert] = []
    for one in credits:
        threshold, left = low_pico_usd(one.org_id), one.left_pico_usd
        if threshold is None or left >= threshold:
            continue
        gone = " Its requests are refused." if left <= 0 else ""
        found.append(
            Alert(
                # What was put in stays the same until somebody puts more in: between two such acts credits only fall, and pass a line once.
                f"credits:{one.org_id}:{threshold}:{one.funded_pico_usd}",
                "credits.low",
                f"The credits of organisation {one.org_id} are low",
                f"{usd(left)} USD are left, less than {usd(threshold)}.{gone}",
                {"organisation": one.org_id, "left_usd": usd(left), "threshold_usd": usd(threshold)},
            )
        )
    return found


def of_incidents(found: Sequence[Incident], since_s: int) -> list[Alert]:
    """Providers that are down, and those that were told to be and are up again. None that were over before `since_s`."""
    alerts: list[Alert] = []
    for incident in found:
        if incident.end_s < since_s:
            continue
        # By the hour: the minute of its beginning becomes clearer as it goes on.
        place = f"{incident.provider}:{incident.start_s // HOUR_S}"
        began = Alert(
            f"outage:{place}",
            "provider.outage",
            f"{incident.provider} fails",
            f"Of {incident.attempts} attempts since {_moment(incident.start_s)} {incident.failed} failed"
            f"{f' ({incident.cause})' if incident.cause else ''}. Requests go to other providers where there are any.",
            _told(incident),
        )
        if incident.ongoing:
            alerts.append(began)
            continue
        text = f"It failed from {_moment(incident.start_s)} to {_moment(incident.end_s)}: {incident.failed} of {incident.attempts} attempts."
        alerts.append(
            Alert(
                f"recovered:{place}",
                "provider.recovered",
                f"{incident.provider} is up again",
                text,
                _told(incident),
                began.key,
            )
        )
    return alerts


def of_unpriced(uses: Iterable[tuple[str, str, Use]], now_ms: float) -> list[Alert]:
    """Model and provider of what was used without a price: once a month each."""
    month = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m")
    return [
        Alert(
            f"unpriced:{model}:{provider}:{month}",
            "model.unpriced",
            f"{model} at {provider} has no price",
            f"{use.unpriced} of {use.attempts} attempts of the last day used something that has no price: what it cost is not counted. "
            "A price in the configuration file counts from then on.",
            {"model": model, "provider": provider, "attempts": use.attempts, "unpriced": use.unpriced},
        )
        for model, provider, use in uses
        if use.unpriced
    ]


def _of_budget(standing: Standing, percent: int) -> Alert:
    budget, spent, limit = standing.budget, standing.spent_pico_usd, standing.budget.limit_pico_usd
    what = f"{SCOPES[budget.scope]} {budget.scope_id}"
    ends = "" if standing.ends_ms is None else f" It begins anew at {_moment(standing.ends_ms // 1000)}."
    return Alert(
        # With the limit: a budget that was made larger is told of again.
        f"budget:{budget.id}:{standing.start_ms}:{limit}:{percent}",
        "budget.threshold",
        f"{percent} % of the {PERIODS[budget.period]} of {what}",
        f"{usd(spent)} of {usd(limit)} USD are spent.{ends}",
        {
            "budget": budget.id,
            "organisation": budget.org_id,
            "scope": budget.scope,
            "scope_id": budget.scope_id,
            "period": budget.period,
            "percent": percent,
            "spent_usd": usd(spent),
            "limit_usd": usd(limit),
            "resets_at": None if standing.ends_ms is None else _iso(standing.ends_ms // 1000),
        },
    )


def _told(incident: Incident) -> dict[str, str | int | float | bool | None]:
    return {
        "provider": incident.provider,
        "offers": ", ".join(incident.offers),
        "began_at": _iso(incident.start_s),
        "ended_at": None if incident.ongoing else _iso(incident.end_s),
        "attempts": incident.attempts,
        "failed": incident.failed,
        "cause": incident.cause,
    }


def _moment(unix_s: int) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M} UTC"


def _iso(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat().replace("+00:00", "Z")
