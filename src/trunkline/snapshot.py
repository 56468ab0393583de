"""From settings to the state of configuration that requests see. In: `Settings`, and what was found on this machine. Out: a `Snapshot`."""

from collections.abc import Mapping, Sequence
from typing import Any

from trunkline.catalog.load import load
from trunkline.catalog.schema import CatalogLayer, parse_layer
from trunkline.catalog.types import Catalog, Offer
from trunkline.execution.gateway import Policy, Snapshot
from trunkline.ir.usage import Usage
from trunkline.pricing.rate import RateCard
from trunkline.pricing.types import Cost
from trunkline.providers.accounts import Absent, Account, resolve
from trunkline.settings import Settings


def build(settings: Settings, found: Sequence[Mapping[str, Any]] = ()) -> Snapshot:
    """Everything in force. `found` are layers of this machine (local models, servers), weaker than the operator's file. Raises ConfigError."""
    layers: list[CatalogLayer] = [parse_layer(layer, "found on this machine") for layer in found]
    catalog = load(
        [*layers, settings.catalog_layer],
        downloaded=settings.downloaded_catalog,
        overlay_dir=settings.overlay_dir,
    )
    policy = Policy(
        include_cost=settings.gateway.include_cost,
        require_parameters=settings.gateway.require_parameters,
        keepalive_s=settings.gateway.keepalive_s,
        drain_cap_s=settings.gateway.drain_cap_s,
        max_body_bytes=settings.server.max_body_bytes,
    )
    return Snapshot(catalog, accounts_of(catalog, settings), policy, _Pricer())


def accounts_of(catalog: Catalog, settings: Settings) -> dict[str, Account | Absent]:
    """Of every provider, how it is reached, or why it is not."""
    return {
        slug: resolve(
            provider, settings.catalog_layer.providers.get(slug), settings.provider_keys.get(slug, ()), settings.env
        )
        for slug, provider in catalog.providers.items()
    }


class _Pricer:
    """Bills by offer; the compiled price lines live as long as the catalog they were made of."""

    def __init__(self) -> None:
        self._cards: dict[str, RateCard] = {}

    def __call__(self, offer: Offer, usage: Usage, at_ms: float, service_tier: str | None) -> Cost:
        card = self._cards.get(offer.id)
        if card is None:
            card = self._cards[offer.id] = RateCard(offer.price)
        return card.bill(usage, at_ms=at_ms, service_tier=service_tier)
