"""Who uses a gateway, and what they may do and spend. In: nothing. Out: frozen structs. Money is pico-USD, times are Unix milliseconds.

An organisation has members, projects, keys, budgets and wallets. What a key may do is in its `KeyRules`; what it may spend, in every `Budget`
that covers it: its own, its member's, its project's, its organisation's.
"""

from typing import Literal

import msgspec

from trunkline.ir.wish import PolicyWish

Role = Literal["admin", "member"]
KeyKind = Literal["inference", "management"]
Scope = Literal["organisation", "project", "member", "key"]
Period = Literal["total", "day", "week", "month"]
WalletKind = Literal["top_up", "bonus"]
TransactionKind = Literal["top_up", "bonus", "adjustment", "spend", "expiry"]

DEFAULT_ORGANISATION = "org_default"
"""Made with the store; what belongs to no other organisation belongs to it."""


class Organisation(msgspec.Struct, frozen=True):
    """`prepaid`: its requests are paid from its wallets, and refused when these are empty."""

    id: str
    name: str
    created_ms: int
    prepaid: bool = False


class Member(msgspec.Struct, frozen=True):
    """A person who signs in. `issuer` and `subject` name the account of a person who does so elsewhere (OpenID Connect)."""

    id: str
    org_id: str
    email: str
    """In lower case; of one member only."""
    name: str
    role: Role
    created_ms: int
    disabled_ms: int | None = None
    issuer: str = ""
    subject: str = ""
    has_password: bool = False


class Project(msgspec.Struct, frozen=True):
    """What keys and budgets are grouped by."""

    id: str
    org_id: str
    name: str
    created_ms: int
    archived_ms: int | None = None


class KeyRules(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a key may do. An empty tuple and None allow everything."""

    models: tuple[str, ...] = ()
    """Slugs, or `author/*`."""
    providers: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    """Of callers: `openai.chat`, `openai.responses`, `anthropic.messages`, `gemini`."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    """Requests under way at once."""
    data_policy: PolicyWish = PolicyWish()
    """The least that an offer must promise, whatever the request asks for."""


NO_RULES = KeyRules()


class Budget(msgspec.Struct, frozen=True):
    """The most that may be spent in a period: days, weeks (from Monday) and months of the calendar, in UTC; `total` never begins anew."""

    id: str
    org_id: str
    scope: Scope
    scope_id: str
    """The id of the organisation, project, member or key."""
    period: Period
    limit_pico_usd: int
    created_ms: int
    ended_ms: int | None = None
    alerts: tuple[int, ...] = (80, 100)
    """Percent of the limit at which somebody is told."""


class Wallet(msgspec.Struct, frozen=True):
    """Money that was put in. Its balance is the sum of its entries in the ledger; spent in the order of `spending_order`."""

    id: str
    org_id: str
    kind: WalletKind
    name: str
    created_ms: int
    expires_ms: int | None = None


class Entry(msgspec.Struct, frozen=True):
    """One line of a transaction. `account`: `wallet:ID`, `funding:ORG` (where money comes from), `spent:ORG` (where it goes)."""

    account: str
    amount_pico_usd: int


class Transaction(msgspec.Struct, frozen=True):
    """A transfer that adds up to nothing over its entries. Never changed; a mistake is mended by another one."""

    id: str
    org_id: str
    at_ms: int
    kind: TransactionKind
    reference: str
    """Of one transaction only: the same act, done twice by a caller who tries again, is in the ledger once."""
    note: str
    actor: str
    """The id of who did it: a member, a key, `master`, or `gateway`."""
    entries: tuple[Entry, ...]


class Actor(msgspec.Struct, frozen=True):
    """Who does something to the gateway's accounts. The master key may do everything, in every organisation."""

    kind: Literal["master", "member", "key"]
    id: str
    name: str
    role: Role
    org_id: str = DEFAULT_ORGANISATION
    address: str = ""
    """Where the call came from, for the audit log."""


class AuditEntry(msgspec.Struct, frozen=True):
    """One administrative act. `detail` holds what was changed, never a secret and nothing by which a person is known."""

    number: int
    at_ms: int
    org_id: str
    actor_kind: str
    actor_id: str
    """Never a name or an address of mail: what is written here cannot be erased, who it was can."""
    address: str
    action: str
    """E.g. `key.create`, `budget.end`, `member.disable`, `sign_in`, `sign_in.failed`."""
    target: str
    """The id of what was changed."""
    detail: dict[str, str | int | float | bool | None]


class StoredCredential(msgspec.Struct, frozen=True):
    """A provider's key that is kept in the store, without the key. `member_id` is set where it is a member's own."""

    id: str
    org_id: str
    member_id: str
    provider: str
    name: str
    hint: str
    created_ms: int
    created_by: str
    revoked_ms: int | None = None
