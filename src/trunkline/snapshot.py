"""From settings to the state of configuration that requests see. In: `Settings`, and what was found on this machine. Out: a `Snapshot`."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from trunkline.accounts.stored_keys import StoredKey
from trunkline.accounts.types import DEFAULT_ORGANISATION
from trunkline.catalog.load import load
from trunkline.catalog.query import find, nearest
from trunkline.catalog.schema import CatalogLayer, parse_layer
from trunkline.catalog.types import Catalog, Offer
from trunkline.errors import ConfigError
from trunkline.execution.gateway import Apart, Policy, Snapshot
from trunkline.ir.usage import Usage
from trunkline.pricing.rate import RateCard
from trunkline.pricing.types import Cost
from trunkline.providers.accounts import Absent, Account, Written, resolve
from trunkline.settings import Settings


def build(settings: Settings, found: Sequence[Mapping[str, Any]] = ()) -> Snapshot:
    """Everything in force. `found` are layers of this machine (local models, servers), weaker than the operator's files. Raises ConfigError."""
    layers: list[CatalogLayer] = [parse_layer(layer, "found on this machine") for layer in found]
    catalog = load([*layers, *settings.own_layers], downloaded=settings.downloaded_catalog)
    _check_models(catalog, settings)
    policy = Policy(
        include_cost=settings.gateway.include_cost,
        require_parameters=settings.gateway.require_parameters,
        keepalive_s=settings.gateway.keepalive_s,
        drain_cap_s=settings.gateway.drain_cap_s,
        max_body_bytes=settings.server.max_body_bytes,
        fallback_model=settings.routing.fallback_model,
        auto_models=settings.routing.auto_models,
        spread=settings.routing.spread,
    )
    return Snapshot(catalog, accounts_of(catalog, settings), policy, _Pricer())


def _check_models(catalog: Catalog, settings: Settings) -> None:
    """The models that `[routing]` names must be there: a mistyped one would be missed only when it is needed."""
    routing = settings.routing
    named = [("fallback_model", routing.fallback_model)] if routing.fallback_model else []
    named += [(f"auto_models[{at}]", name) for at, name in enumerate(routing.auto_models)]
    for key, name in named:
        if find(catalog, name) is None:
            near = nearest(catalog, name)
            hint = (
                f"did you mean {' or '.join(near)}?" if near else "`trunkline catalog list` shows those that there are"
            )
            raise ConfigError(f"there is no model {name!r}; {hint}", where=f"{settings.path}: routing.{key}")


def build_with_servers(settings: Settings, servers: Mapping[str, Any]) -> Snapshot:
    """The same with local models and the layer of servers on this machine. The servers give way where they do not go with the operator's files."""
    local = local_layers(settings)
    if servers:
        with contextlib.suppress(ConfigError):
            return build(settings, [*local, servers])
    return build(settings, local)


def local_layers(settings: Settings) -> list[Mapping[str, Any]]:
    """Of the models that can run here. What cannot is explained by `doctor` and `run`, not offered."""
    if not settings.embedded.enabled:
        return []
    from trunkline.embedded.machine import runtime_reasons
    from trunkline.embedded.offers import local_layer

    return [] if runtime_reasons() else [local_layer(settings.cache_dir)]


def accounts_of(catalog: Catalog, settings: Settings) -> dict[str, Account | Absent]:
    """Of every provider, how it is reached, or why it is not."""
    return {
        slug: resolve(provider, _written(slug, settings), settings.env, catalog.profiles)
        for slug, provider in catalog.providers.items()
    }


def with_stored(snapshot: Snapshot, settings: Settings, stored: Sequence[StoredKey]) -> tuple[Snapshot, Apart | None]:
    """A state of files and environment with the store's keys of providers: what everyone sees, and what only some do (None: nobody sees another)."""
    if not stored:
        return snapshot, None
    pooled = _keys_by_owner(key for key in stored if not key.member_id)
    own = _keys_by_owner(key for key in stored if key.member_id)
    everyones = _with(snapshot, settings, pooled.get((DEFAULT_ORGANISATION, ""), {}))
    of_owner = {
        owner: _with(snapshot, settings, keys, whose=owner[0])
        for owner, keys in pooled.items()
        if owner[0] != DEFAULT_ORGANISATION
    }
    for (org_id, member_id), keys in own.items():
        below = everyones if org_id == DEFAULT_ORGANISATION else of_owner.get((org_id, ""), snapshot)
        shared, whose = pooled.get((org_id, ""), {}), f"{org_id} {member_id}"
        of_owner[org_id, member_id] = _with(below, settings, shared, own=keys, whose=whose)
    return everyones, Apart(snapshot, of_owner)


_ByProvider = Mapping[str, tuple[str, ...]]


def _keys_by_owner(stored: Iterable[StoredKey]) -> dict[tuple[str, str], dict[str, tuple[str, ...]]]:
    """(organisation, member or "") -> provider -> keys."""
    found: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
    for key in stored:
        of_owner = found.setdefault((key.org_id, key.member_id), {})
        of_owner[key.provider] = (*of_owner.get(key.provider, ()), key.secret)
    return found


def _with(
    snapshot: Snapshot, settings: Settings, stored: _ByProvider, *, own: _ByProvider | None = None, whose: str = ""
) -> Snapshot:
    """The state with the accounts anew of those providers that there are keys for. Plans are found anew: other providers can be called."""
    catalog = snapshot.catalog
    own = own or {}
    # With keys of one's own the account is another only where there are some.
    slugs = [slug for slug in (own or stored) if slug in catalog.providers]
    if not slugs:
        return snapshot
    changed: dict[str, Account | Absent] = {}
    for slug in slugs:
        keys = msgspec.structs.replace(
            _written(slug, settings), stored=stored.get(slug, ()), own=own.get(slug, ()), whose=whose
        )
        changed[slug] = resolve(catalog.providers[slug], keys, settings.env, catalog.profiles)
    return Snapshot(catalog, {**snapshot.accounts, **changed}, snapshot.policy, snapshot.price)


def _written(slug: str, settings: Settings) -> Written:
    return Written(
        layers=[layer.providers[slug] for layer in settings.own_layers if slug in layer.providers],
        keys=settings.provider_keys.get(slug, ()),
        headers=settings.provider_headers.get(slug),
    )


class _Pricer:
    """Bills by offer; the compiled price lines live as long as the catalog they were made of."""

    def __init__(self) -> None:
        self._cards: dict[str, RateCard] = {}

    def __call__(self, offer: Offer, usage: Usage, at_ms: float, service_tier: str | None) -> Cost:
        card = self._cards.get(offer.id)
        if card is None:
            card = self._cards[offer.id] = RateCard(offer.price)
        return card.bill(usage, at_ms=at_ms, service_tier=service_tier)
