"""What the requests of a key are held to. In: the key, budgets that cover it, its organisation's credits. Out: terms of a claim, in plain words too."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from trunkline.accounts.budgets import covers, credits_hold, hold_of, hold_prefix
from trunkline.accounts.keys import ApiKey
from trunkline.accounts.shared import Hold, Places, Rate
from trunkline.accounts.types import Budget, Period

_PERIODS: dict[Period, str] = {"total": "total", "day": "daily", "week": "weekly", "month": "monthly"}
_LATER_MS = 2**62


class KeyTerms:
    """Lives until something of it changes in the store. Only the holds depend on time: they are made anew when a period ends."""

    __slots__ = (
        "_budgets",
        "_credits",
        "_from_ms",
        "_holds",
        "_until_ms",
        "has_money",
        "key",
        "places",
        "prepaid_by",
        "rates",
    )

    def __init__(self, key: ApiKey, budgets: Sequence[Budget], funded_pico_usd: int | None) -> None:
        """`budgets` cover the key; `funded_pico_usd` is None where its organisation is not prepaid."""
        rules = key.rules
        self.key = key
        self._budgets = tuple(budgets)
        self._credits = () if funded_pico_usd is None else (credits_hold(key.org_id, funded_pico_usd),)
        self.prepaid_by = "" if funded_pico_usd is None else key.org_id
        self.has_money = bool(self._budgets or self._credits)
        self.rates = _rates(key)
        self.places: tuple[Places, ...] = (
            () if rules.concurrency is None else (Places(f"places:{_root(key)}", rules.concurrency),)
        )
        self._holds: tuple[Hold, ...] = ()
        self._from_ms, self._until_ms = 0.0, 0.0

    @property
    def claims(self) -> bool:
        """Whether a request has anything to claim."""
        return self.has_money or bool(self.rates or self.places)

    def holds(self, at_ms: float) -> tuple[Hold, ...]:
        """Of a request that was received then."""
        if not self._from_ms <= at_ms < self._until_ms:
            made = [hold_of(budget, at_ms) for budget in self._budgets]
            self._holds = (*made, *self._credits)
            self._from_ms = at_ms
            self._until_ms = min([hold.ends_ms for hold in made if hold.ends_ms is not None], default=_LATER_MS)
        return self._holds

    def budget_of(self, name: str) -> Budget | None:
        """Of a hold, of whatever period; None where it is of credits."""
        return next((budget for budget in self._budgets if name.startswith(hold_prefix(budget.id))), None)

    def named(self, name: str) -> str:
        """What a limit is called in the words of its owner."""
        budget = self.budget_of(name)
        if budget is not None:
            whose = "of this key" if budget.scope == "key" else f"of this key's {budget.scope}"
            return f"the {_PERIODS[budget.period]} budget {whose}"
        kind = name.partition(":")[0]
        return {
            "credits": "the credits of this key's organisation",
            "requests": "the requests a minute of this key",
            "tokens": "the tokens a minute of this key",
            "places": "the requests at once of this key",
        }.get(kind, "a budget of this key")

    def ends(self, name: str) -> str:
        """When a period ends, as people read it; empty where it does not."""
        hold = next((hold for hold in self._holds if hold.name == name), None)
        if hold is None or hold.ends_ms is None:
            return ""
        return datetime.fromtimestamp(hold.ends_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def terms_of(
    keys: Sequence[ApiKey], budgets: Sequence[Budget], prepaid: Mapping[str, int]
) -> dict[str, KeyTerms | None]:
    """By key; None for one that is held to nothing."""
    by_scope: dict[tuple[str, str], list[Budget]] = {}
    for budget in budgets:
        by_scope.setdefault((budget.scope, budget.scope_id), []).append(budget)
    return {key.id: _of_key(key, by_scope, prepaid) for key in keys}


def _of_key(
    key: ApiKey, by_scope: Mapping[tuple[str, str], list[Budget]], prepaid: Mapping[str, int]
) -> KeyTerms | None:
    places = (
        ("key", _root(key)),
        ("member", key.member_id),
        ("project", key.project_id),
        ("organisation", key.org_id),
    )
    found = [budget for place in places for budget in by_scope.get(place, ()) if covers(budget, key)]
    rules = key.rules
    limits = (rules.requests_per_minute, rules.tokens_per_minute, rules.concurrency)
    if not found and key.org_id not in prepaid and all(limit is None for limit in limits):
        return None
    return KeyTerms(key, found, prepaid.get(key.org_id))


def _rates(key: ApiKey) -> tuple[Rate, ...]:
    rules = key.rules
    id_ = _root(key)
    requests, tokens = rules.requests_per_minute, rules.tokens_per_minute
    rates = [] if requests is None else [Rate(f"requests:{id_}", "requests", requests)]
    if tokens is not None:
        rates.append(Rate(f"tokens:{id_}", "tokens", tokens))
    return tuple(rates)


def _root(key: ApiKey) -> str:
    """Of a rotated key, the first of those whose place it takes: a new secret is no new limit."""
    return key.rotated_from or key.id
