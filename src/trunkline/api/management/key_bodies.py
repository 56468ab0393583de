"""What people write about API keys, and what they are shown: for API, pages and command line alike. In: JSON, forms, options. Out: checked values.

Names of models and providers are checked against the catalog by `checked_rules`; an unknown one is refused with the nearest that there are.
"""

import difflib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trunkline.accounts.keys import ApiKey, is_valid
from trunkline.accounts.types import KeyKind, KeyRules, Period
from trunkline.catalog.query import find, folded, nearest, provider_names
from trunkline.catalog.types import Catalog
from trunkline.errors import InvalidParams
from trunkline.ir.wish import PolicyWish

YEAR_S = 365 * 24 * 3600
MOST_NAMES = 200
MOST_A_MINUTE = 10**9
Protocol = Literal["openai.chat", "openai.responses", "anthropic.messages", "gemini"]
PROTOCOLS: tuple[Protocol, ...] = ("openai.chat", "openai.responses", "anthropic.messages", "gemini")
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Id = Annotated[str, Field(max_length=60, pattern=r"^[A-Za-z0-9_.-]*$")]
MOST_USD = 9_000_000
"""What a 64-bit column holds in pico-USD, a little less."""
Limit = Annotated[Decimal, Field(ge=0, le=MOST_USD, max_digits=19, decimal_places=12)]
Lifetime = Annotated[int, Field(gt=0, le=100 * YEAR_S)]


class Body(BaseModel):
    """What people send: an unknown field is refused by its name."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Card(BaseModel):
    """What they are shown."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class PolicyBody(Body):
    """The least that an offer must promise, whatever the request asks for."""

    no_training: bool = False
    zero_retention: bool = False
    region: Annotated[str, Field(max_length=20, pattern=r"^[A-Za-z0-9-]*$")] = ""


class RulesBody(Body):
    """What a key may do. Empty lists and null allow everything."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"models": ["openai/o4-mini", "anthropic/*"], "requests_per_minute": 60, "concurrency": 5}]
        },
    )

    models: Annotated[list[Name], Field(max_length=MOST_NAMES)] = []
    """Slugs of models, or `author/*`."""
    providers: Annotated[list[Name], Field(max_length=MOST_NAMES)] = []
    protocols: Annotated[list[Protocol], Field(max_length=4)] = []
    requests_per_minute: Annotated[int, Field(ge=1, le=MOST_A_MINUTE)] | None = None
    tokens_per_minute: Annotated[int, Field(ge=1, le=MOST_A_MINUTE)] | None = None
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Requests under way at once."""
    data_policy: PolicyBody = PolicyBody()


class _Ends(Body):
    """When a key ends: after a time, or at one."""

    expires_in_s: Lifetime | None = None
    expires_at: datetime | None = None
    """ISO 8601, with an offset; in place of `expires_in_s`."""

    @field_validator("expires_at")
    @classmethod
    def _with_offset(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("write the offset too, e.g. 2027-01-31T00:00:00Z")
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.expires_in_s is not None and self.expires_at is not None:
            raise ValueError("give expires_in_s or expires_at, not both")
        return self

    def expires_ms(self, now_ms: float) -> int | None:
        """Raises InvalidParams for an end that is over, or too far away."""
        if self.expires_in_s is not None:
            return int(now_ms) + self.expires_in_s * 1000
        if self.expires_at is None:
            return None
        at_ms = int(self.expires_at.timestamp() * 1000)
        if at_ms <= now_ms:
            raise InvalidParams("expires_at: this time is over; give one to come", param="expires_at")
        if at_ms > now_ms + 100 * YEAR_S * 1000:
            raise InvalidParams("expires_at: give a time within 100 years, or none", param="expires_at")
        return at_ms


class KeyBudget(Body):
    """The most that a key may spend in a period."""

    period: Period
    limit_usd: Limit


class NewKey(_Ends):
    """What a key is made from."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "laptop of alice@example.com", "expires_in_s": 2_592_000}]},
    )

    name: str = Field(min_length=1, max_length=100)
    zero_retention: bool = False
    """Nothing of what is said with it is kept: no stored responses, no bodies, state in memory only."""
    kind: KeyKind = "inference"
    """What it opens: model traffic, or this API."""
    organisation: Id | None = None
    """For the master key; everyone else's own."""
    member_id: Id = ""
    """Whose it is; empty for a key of the organisation's own. A member's keys are always that member's."""
    project_id: Id = ""
    rules: RulesBody = RulesBody()
    budgets: Annotated[list[KeyBudget], Field(max_length=4)] = []
    """Set with the key; later ones at `/api/v1/management/budgets`. Administrators set them."""


class ChangedKey(_Ends):
    """What is to be changed; what is not named stays. `"expires_at": null` takes the end away; of `rules`, only what is named is changed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"rules": {"requests_per_minute": 120, "models": []}}]})

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    zero_retention: bool | None = None
    project_id: Id | None = None
    rules: RulesBody | None = None


class RotatedKey(_Ends):
    """How a key is replaced. Without an end, the new one lasts as long as the old one was made for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap_s": 86_400}]})

    overlap_s: Annotated[int, Field(ge=0, le=30 * 24 * 3600)] = 0
    """For so long the old secret goes on holding beside the new one."""


class KeyCard(Card):
    """A key as it is shown. `hint` is the end of its secret."""

    id: str
    name: str
    hint: str
    state: Literal["valid", "expired", "revoked"]
    valid: bool
    kind: KeyKind
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    zero_retention: bool
    organisation: str
    member_id: str
    project_id: str
    rules: RulesBody
    rotated_from: str
    """The first of the keys that it took the place of; a budget of that one holds for all of them."""


class MadeKey(KeyCard):
    """A key that was just made. `secret` is shown this once."""

    secret: str


class KeyList(Card):
    """`next` is the `after` of the following page, null on the last one."""

    data: list[KeyCard]
    next: str | None


def checked_rules(rules: RulesBody, catalog: Catalog) -> KeyRules:
    """With slugs for whatever name was written. Raises InvalidParams for a model or provider that there is not."""
    return KeyRules(
        models=tuple(dict.fromkeys(_model(catalog, name) for name in rules.models)),
        providers=_providers(catalog, rules.providers),
        protocols=tuple(dict.fromkeys(rules.protocols)),
        requests_per_minute=rules.requests_per_minute,
        tokens_per_minute=rules.tokens_per_minute,
        concurrency=rules.concurrency,
        data_policy=PolicyWish(**rules.data_policy.model_dump()),
    )


def merging(rules: RulesBody, catalog: Catalog) -> Callable[[KeyRules], KeyRules]:
    """Puts what the body names in place of what was before. Names that were there already are not checked: the catalog may have lost them since."""
    checked = checked_rules(rules, catalog)
    named = {name: getattr(checked, name) for name in rules.model_fields_set - {"data_policy"}}
    policy = rules.data_policy.model_dump(include=rules.data_policy.model_fields_set)

    def merged(before: KeyRules) -> KeyRules:
        return msgspec.structs.replace(
            before, **named, data_policy=msgspec.structs.replace(before.data_policy, **policy)
        )

    return merged


def rules_body(rules: KeyRules) -> RulesBody:
    """For showing."""
    return RulesBody.model_construct(
        models=list(rules.models),
        providers=list(rules.providers),
        protocols=[name for name in PROTOCOLS if name in rules.protocols],
        requests_per_minute=rules.requests_per_minute,
        tokens_per_minute=rules.tokens_per_minute,
        concurrency=rules.concurrency,
        data_policy=PolicyBody.model_construct(**msgspec.structs.asdict(rules.data_policy)),
    )


def key_card(key: ApiKey, now_ms: float) -> dict[str, Any]:
    """The fields of a `KeyCard`."""
    valid = is_valid(key, now_ms)
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "state": "revoked" if key.revoked_ms is not None else "valid" if valid else "expired",
        "valid": valid,
        "kind": key.kind,
        "created_at": iso(key.created_ms),
        "expires_at": iso(key.expires_ms),
        "revoked_at": iso(key.revoked_ms),
        "zero_retention": key.zero_retention,
        "organisation": key.org_id,
        "member_id": key.member_id,
        "project_id": key.project_id,
        "rules": rules_body(key.rules),
        "rotated_from": key.rotated_from,
    }


def iso(unix_ms: int | None) -> str | None:
    """ISO 8601 without fractions: some clients cannot read those."""
    if unix_ms is None:
        return None
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _model(catalog: Catalog, name: str) -> str:
    """Its slug, or `author/*`."""
    author, slash, rest = name.partition("/")
    if slash and rest == "*":
        authors = sorted({model.author for model in catalog.models.values()})
        if author in authors:
            return name
        raise _unknown("models", "author of models", author, difflib.get_close_matches(author, authors, 3))
    found = find(catalog, name)
    if found is None:
        raise _unknown("models", "model", name, nearest(catalog, name))
    if found.provider is not None or found.factor:
        raise InvalidParams(
            f"rules.models: {name!r} names more than a model; write {found.model.slug!r}, and providers into `providers`",
            param="rules.models",
        )
    return found.model.slug


def _providers(catalog: Catalog, names: Iterable[str]) -> tuple[str, ...]:
    known = provider_names(catalog)
    found = []
    for name in names:
        slug = known.get(folded(name))
        if slug is None:
            close = difflib.get_close_matches(folded(name), list(known), 3)
            raise _unknown("providers", "provider", name, dict.fromkeys(known[one] for one in close))
        found.append(slug)
    return tuple(dict.fromkeys(found))


def _unknown(field: str, what: str, name: str, near: Iterable[str]) -> InvalidParams:
    close = " or ".join(near)
    hint = f"did you mean {close}?" if close else f"GET /api/v1/{field} lists those that there are"
    return InvalidParams(f"rules.{field}: there is no {what} {name[:100]!r}; {hint}", param=f"rules.{field}")
