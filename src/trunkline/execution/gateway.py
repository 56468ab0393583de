"""What every request shares: the catalog in force, accounts, health, the way upstream and into the store.

`Snapshot` is replaced as a whole by a reload; a request keeps the one that it began with. `Gateway` lives as long as the process.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trunkline.accounts.keys import ApiKey
from trunkline.accounts.types import DEFAULT_ORGANISATION
from trunkline.catalog.types import Catalog, Model, Offer
from trunkline.execution.capture import Captures
from trunkline.execution.conversations import Conversations
from trunkline.execution.holds import Holds
from trunkline.execution.keys import ProviderKeys
from trunkline.execution.shapes import Shapes
from trunkline.execution.transport.types import Transport
from trunkline.ir.usage import Usage
from trunkline.ir.wish import RoutingWish
from trunkline.pricing.types import Cost
from trunkline.protocols.carry import StateStore
from trunkline.providers.accounts import Absent, Account
from trunkline.providers.google_tokens import GoogleTokens
from trunkline.records.types import RecordSink
from trunkline.routing.auto import Rated
from trunkline.routing.health import Health
from trunkline.routing.order import Ranked
from trunkline.routing.tokens import Learned
from trunkline.routing.types import Eligible

if TYPE_CHECKING:
    from trunkline.execution.accounting import Accounting


@dataclass(frozen=True)
class Policy:
    """The operator's settings that a request may meet (`[gateway]`). Times are seconds, sizes bytes."""

    include_cost: bool = True
    require_parameters: bool = False
    keepalive_s: float = 10.0
    drain_cap_s: float = 30.0
    max_body_bytes: int = 32 * 1024 * 1024
    fallback_model: str = ""
    """Where a request names none and its model fails; empty: none."""
    auto_models: tuple[str, ...] = ()
    """What the automatic model chooses from; empty: every model that can be called."""
    spread: bool = True
    """Requests are spread over the good offers of a model; False: each goes to the best one first."""


class RememberedPlan:
    """The offers for one kind of request, and their order for as long as it holds."""

    __slots__ = ("changes", "eligible", "ranked", "until_s", "wish")

    def __init__(self, eligible: Eligible, wish: RoutingWish) -> None:
        self.eligible = eligible
        self.wish = wish
        """With slugs of providers."""
        self.ranked: Ranked | None = None
        self.changes = -1
        self.until_s = 0.0


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One state of the configuration."""

    catalog: Catalog
    accounts: Mapping[str, Account | Absent]
    policy: Policy
    price: Callable[[Offer, Usage, float, str | None], Cost]
    """Of an offer, a usage, at a Unix time in ms, in a service tier."""
    plans: "dict[tuple[Any, ...], RememberedPlan]" = field(default_factory=dict)
    """What `execution.planning` found for a kind of request."""
    rated: "dict[tuple[Any, ...], tuple[Rated, ...]]" = field(default_factory=dict)
    """What the automatic model chooses from, for each list of models and day."""
    shapes: Shapes = field(default_factory=Shapes)
    """What requests have in common."""

    def reachable(self, model: Model) -> list[Offer]:
        """The offers whose provider can be called."""
        return [offer for offer in model.offers if isinstance(self.accounts.get(offer.provider), Account)]

    def callable_offers(self, model: Model, today: str) -> list[Offer]:
        """Those of them that have not ended. `today` is an ISO date."""
        return [offer for offer in self.reachable(model) if offer.shutdown_on is None or offer.shutdown_on > today]

    def account(self, provider: str) -> Account:
        """Of a provider that can be called."""
        account = self.accounts[provider]
        assert isinstance(account, Account)
        return account


@dataclass(frozen=True)
class Apart:
    """The same state with the keys of providers that only an organisation, or a member of it, has stored. Of everyone else the gateway's holds."""

    elsewhere: Snapshot
    """Of organisations that have stored none: without those of the default one."""
    of_owner: Mapping[tuple[str, str], Snapshot]
    """(organisation, member or "") -> theirs."""

    def of(self, key: ApiKey) -> Snapshot | None:
        """What the requests of a key see; None: what everyone sees."""
        found = self.of_owner.get((key.org_id, key.member_id)) or self.of_owner.get((key.org_id, ""))
        if found is not None or key.org_id == DEFAULT_ORGANISATION:
            return found
        return self.elsewhere


@dataclass(frozen=True)
class Clock:
    """Time and ids, so that tests can set them. `now_s` is monotonic, `unix_ms` the world's, `today` an ISO date in UTC."""

    now_s: Callable[[], float]
    unix_ms: Callable[[], float]
    today: Callable[[], str]
    new_id: Callable[[], str]


@dataclass(frozen=True)
class Vault:
    """What keeps one protocol's state on its way through a client of another: see `protocols.carry`."""

    secret: bytes
    keep: Callable[[str, bytes], None]


@dataclass
class Gateway:
    """The services of one data-plane process."""

    snapshot: Snapshot
    transports: Mapping[str, Transport]
    """Profile of a provider -> the client that reaches it; `""` is the ordinary one."""
    health: Health
    sink: RecordSink
    clock: Clock
    vault: Vault
    fleeting: Vault
    """The same for keys of zero retention: in memory only."""
    """Seals what other protocols must not lose on its way through a client."""
    states: StateStore
    conversations: Conversations
    tokens: GoogleTokens
    open: int = 0
    """Requests under way."""
    keys: ProviderKeys = field(default_factory=ProviderKeys)
    """Which of a provider's keys is next."""
    learned: Learned = field(default_factory=Learned)
    """How many bytes a token has."""
    tokenizer: Callable[[list[str]], int] | None = None
    """Counts the tokens of texts, see `execution.tokenizer`; None where the extra `tokens` is not installed."""
    chance: Callable[[], float] = random.random
    """From 0 to below 1: which of several good offers is first."""
    holds: Holds = field(default_factory=Holds)
    """Which account holds the cache and the state of each conversation."""
    apart: Apart | None = None
    """None: everyone's requests have the same keys of providers."""
    accounting: "Accounting | None" = None
    """Holds requests to the terms of their keys; None: there are no keys but the master key."""
    captures: Captures | None = None
    """Keeps what goes over the wire; None where nothing is kept."""

    def snapshot_of(self, key: ApiKey) -> Snapshot:
        """What the requests of a key see."""
        return self.snapshot if self.apart is None else self.apart.of(key) or self.snapshot

    def transport(self, account: Account) -> Transport:
        """The client for a provider."""
        return self.transports.get(account.provider.profile) or self.transports[""]
