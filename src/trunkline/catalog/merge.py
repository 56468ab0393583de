"""Laying layers over each other.

In: layers, the later the stronger. Out: a `Catalog`. Providers and models merge by slug, offers by (model, provider), each
field by itself; a price or any other list or table that a later layer gives takes the place of the whole earlier one.
"""

import difflib
import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from trunkline.catalog.types import Catalog, DataPolicy, Deadlines, Model, Offer, PriceLine, Profile, Provider, When
from trunkline.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from trunkline.catalog.quirks_schema import QuirksLayer
    from trunkline.catalog.schema import CatalogLayer, ModelLayer, OfferLayer, PriceLayer, ProviderLayer

_SPELLED_APART = frozenset(
    {
        "enabled",
        "slug",
        "offers",
        "price",
        "when",
        "data_policy",
        "deadlines",
        "base_url",
        "base_urls",
        "api_key",
        "zdr",
    }
    | {"api_keys", "api_version", "resource", "endpoint", "project", "location", "region", "provider", "where"}
    | {"auth", "quirks", "credentials"}
)
"""Keys that are not copied to the field of their name."""

_VARS = ("resource", "endpoint", "project", "location", "region")


class Draft:
    """A catalog in the making: holds what the layers have said so far, and what they switched off."""

    def __init__(self, base: Catalog | None = None) -> None:
        self.providers: dict[str, Provider] = dict(base.providers) if base else {}
        self.models: dict[str, Model] = dict(base.models) if base else {}
        self.profiles: dict[str, Profile] = {profile.name: profile for profile in base.profiles} if base else {}
        self.enabled: dict[tuple[str, ...], bool] = {}
        self.single_url: dict[str, str] = {}
        self.api_version: dict[str, str] = {}
        self.says: dict[str, str] = {}
        """Slug or offer -> the file that spoke of it last, for errors."""
        self.unreachable: dict[str, Offer] = {}
        """Provider -> one of the earlier offers that its new addresses have nothing for; all of them are `left_out`."""
        self.left_out: set[tuple[str, ...]] = set()

    def apply(self, layer: "CatalogLayer") -> None:
        """Lays one layer on top."""
        for profile in layer.profiles:
            given = profile.model_dump(exclude_unset=True, exclude={"quirks"})
            self.profiles[profile.name] = msgspec.convert({**given, "quirks": _quirks(profile.quirks)}, Profile)
        for slug, provider in layer.providers.items():
            self.says[slug] = layer.where
            self._apply_provider(slug, provider)
        for model in layer.models:
            self.says[model.slug] = layer.where
            self._apply_model(model)

    def finish(self) -> Catalog:
        """Checks what only the whole can tell, and freezes it. Raises `ConfigError`."""
        self.unreachable, self.left_out = {}, set()
        self._spread_single_urls()
        self._apply_api_versions()
        models = {
            model.slug: model for model in map(self._finished_model, self.models.values()) if self._on(model.slug)
        }
        self._check_that_something_is_left(models)
        aliases = _aliases(models, self.says)
        profiles = tuple(self.profiles.values())
        return Catalog(digest(models, self.providers, profiles), models, self.providers, aliases, profiles)

    def _apply_provider(self, slug: str, layer: "ProviderLayer") -> None:
        given = layer.model_fields_set
        known = self.providers.get(slug) or Provider(slug=slug, name=layer.name or slug)
        changes = _plain_fields(layer)
        if given & {"base_url", "base_urls"}:
            changes["base_urls"] = dict(layer.base_urls)
            changes["local"] = layer.local or _is_private([*layer.base_urls.values(), layer.base_url or ""])
            self._forget_lifecycle(slug, layer)
        if layer.base_url:
            self.single_url[slug] = layer.base_url
        if layer.api_version is not None:
            self.api_version[slug] = layer.api_version
        values = {name: value for name in _VARS if (value := getattr(layer, name)) is not None}
        if values:
            changes["vars"] = {**known.vars, **values}
        if given & {"data_policy", "zdr"}:
            changes["data_policy"] = _policy(known.data_policy, layer)
        if "auth" in given:
            changes["auth"] = layer.auth.get("default", "")
            changes["auth_by"] = {name: word for name, word in layer.auth.items() if name != "default"}
        if "quirks" in given:
            changes["quirks"] = {protocol: _quirks(quirks) for protocol, quirks in layer.quirks.items()}
        if "enabled" in given:
            self.enabled[(slug,)] = layer.enabled
        self.providers[slug] = msgspec.structs.replace(known, **changes)

    def _forget_lifecycle(self, slug: str, layer: "ProviderLayer") -> None:
        """Another server stands in for a vendor: the vendor's shutdown dates say nothing about it."""
        if slug not in self.providers or not _stands_in(self.providers[slug], layer):
            return
        for model in self.models.values():
            offers = tuple(_ageless(offer) if offer.provider == slug else offer for offer in model.offers)
            self.models[model.slug] = msgspec.structs.replace(model, offers=offers)

    def _apply_model(self, layer: "ModelLayer") -> None:
        author, _, short = layer.slug.partition("/")
        known = self.models.get(layer.slug) or Model(slug=layer.slug, name=layer.name or short, author=author)
        offers = {offer.provider: offer for offer in known.offers}
        for offer in layer.offers:
            self.says[f"{layer.slug}:{offer.provider}"] = self.says[layer.slug]
            offers[offer.provider] = self._merged_offer(offers.get(offer.provider), layer.slug, offer)
        if "enabled" in layer.model_fields_set:
            self.enabled[(layer.slug,)] = layer.enabled
        changes = _plain_fields(layer)
        self.models[layer.slug] = msgspec.structs.replace(known, offers=tuple(offers.values()), **changes)

    def _merged_offer(self, known: Offer | None, slug: str, layer: "OfferLayer") -> Offer:
        given = layer.model_fields_set
        known = known or Offer(model=slug, provider=layer.provider, upstream_model=slug.partition("/")[2], protocols=())
        changes = _plain_fields(layer)
        if "price" in given:
            changes["price"] = tuple(_price_line(price) for price in layer.price)
        if "data_policy" in given:
            set_fields = layer.data_policy.model_dump(exclude_unset=True) if layer.data_policy else {}
            changes["data_policy"] = msgspec.structs.replace(known.data_policy or DataPolicy(), **set_fields)
        if "deadlines" in given:
            changes["deadlines"] = _replaced(known.deadlines, layer.deadlines)
        if "quirks" in given:
            changes["quirks"] = {protocol: _quirks(quirks) for protocol, quirks in layer.quirks.items()}
        if "enabled" in given:
            self.enabled[(slug, layer.provider)] = layer.enabled
        return msgspec.structs.replace(known, **changes)

    def _spread_single_urls(self) -> None:
        """`base_url` alone serves every protocol that the provider's offers speak."""
        for slug, url in self.single_url.items():
            provider = self.providers[slug]
            spoken = {
                protocol: url
                for model in self.models.values()
                for offer in model.offers
                if offer.provider == slug
                for protocol in offer.protocols
            }
            base_urls = {**(spoken or {"openai.chat": url}), **provider.base_urls}
            self.providers[slug] = msgspec.structs.replace(provider, base_urls=base_urls)

    def _apply_api_versions(self) -> None:
        """Azure's dated versions live under `/openai/deployments/NAME` (Responses: under `/openai`, the deployment is in the body), the
        undated `/openai/v1` needs none: https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle."""
        for slug, version in self.api_version.items():
            provider = self.providers[slug]
            base_urls = {protocol: _versioned(url, version, protocol) for protocol, url in provider.base_urls.items()}
            self.providers[slug] = msgspec.structs.replace(provider, base_urls=base_urls)

    def _finished_model(self, model: Model) -> Model:
        offers = [self._finished_offer(offer) for offer in model.offers]
        on = tuple(offer for offer in offers if self._on(offer.provider) and self._on(model.slug, offer.provider))
        return model if on == model.offers else msgspec.structs.replace(model, offers=on)

    def _finished_offer(self, offer: Offer) -> Offer:
        provider = self.providers.get(offer.provider)
        if provider is None:
            near = difflib.get_close_matches(offer.provider, self.providers, n=1)
            mend = f"did you mean {near[0]!r}?" if near else f"add a table [providers.{offer.provider}]"
            raise ConfigError(f"the provider {offer.provider!r} is not known: {mend}", where=self._place(offer))
        if offer.protocols and not provider.base_urls:
            # Its account says what is missing: it cannot be called, and an address may come from the environment.
            return offer
        if offer.protocols:
            return self._with_addresses(offer, provider)
        if not provider.base_urls:
            raise ConfigError('has no `protocols`: add e.g. protocols = ["openai.chat"]', where=self._place(offer))
        return msgspec.structs.replace(offer, protocols=tuple(provider.base_urls))

    def _with_addresses(self, offer: Offer, provider: Provider) -> Offer:
        """An offer does not speak a protocol for which its provider has no address."""
        spoken = tuple(protocol for protocol in offer.protocols if protocol in provider.base_urls)
        if spoken == offer.protocols:
            return offer
        if spoken or not (self._on(offer.provider) and self._on(offer.model) and self._on(offer.model, offer.provider)):
            return msgspec.structs.replace(offer, protocols=spoken or offer.protocols)
        named = f"[providers.{provider.slug}]"
        wanted, had = ", ".join(offer.protocols), ", ".join(provider.base_urls)
        if offer.id in self.says:
            mend = f"add an address for one of them to {named}, or correct `protocols`"
            raise ConfigError(
                f"{named} has addresses for {had}, this offer speaks {wanted}: {mend}", where=self._place(offer)
            )
        # Nobody wrote this offer here: new addresses for one protocol leave out what the provider has in others alone.
        self.unreachable[provider.slug] = offer
        self.left_out.add((offer.model, offer.provider))
        return offer

    def _check_that_something_is_left(self, models: dict[str, Model]) -> None:
        served = {offer.provider for model in models.values() for offer in model.offers}
        for slug, offer in self.unreachable.items():
            if slug not in served:
                wanted, had = ", ".join(offer.protocols), ", ".join(self.providers[slug].base_urls)
                place = f"{self.says.get(slug, 'catalog')}: providers.{slug}.base_urls"
                mend = "add an address for one of them, or switch the provider off"
                raise ConfigError(
                    f"has addresses for {had}, but its offer {offer.id} speaks {wanted}: {mend}", where=place
                )

    def _place(self, offer: Offer) -> str:
        return f'{self.says.get(offer.id, "catalog")}: models["{offer.model}"].offers["{offer.provider}"]'

    def _on(self, *name: str) -> bool:
        return self.enabled.get(name, True) and name not in self.left_out


def digest(models: dict[str, Model], providers: dict[str, Provider], profiles: tuple[Profile, ...] = ()) -> str:
    """Names the content: 12 hex digits of SHA-256 over its JSON. Secrets are not part of a catalog."""
    import hashlib

    content = [models, providers, profiles]
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:12]


def _quirks(layer: "QuirksLayer") -> dict[str, Any]:
    """Only what was written, in an order that does not depend on the writing."""
    return dict(sorted(layer.model_dump(exclude_unset=True, by_alias=True).items()))


def _plain_fields(layer: "BaseModel") -> dict[str, Any]:
    """The fields that were written and are copied as they stand; lists become tuples."""
    given = {name: getattr(layer, name) for name in layer.model_fields_set - _SPELLED_APART}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def _replaced(known: Deadlines, layer: "BaseModel") -> Deadlines:
    return msgspec.structs.replace(known, **layer.model_dump(exclude_unset=True))


def _policy(known: DataPolicy, layer: "ProviderLayer") -> DataPolicy:
    policy = msgspec.structs.replace(known, **layer.data_policy.model_dump(exclude_unset=True))
    return msgspec.structs.replace(policy, zdr=layer.zdr) if "zdr" in layer.model_fields_set else policy


def _price_line(layer: "PriceLayer") -> PriceLine:
    return PriceLine(
        item=layer.item,
        unit=layer.unit,
        value=layer.value,
        when=When(**layer.when.model_dump()),
        valid_from=layer.valid_from,
        valid_to=layer.valid_to,
        source=layer.source,
        checked=layer.checked or "",
    )


def _ageless(offer: Offer) -> Offer:
    return msgspec.structs.replace(offer, deprecated_on=None, shutdown_on=None)


def _stands_in(provider: Provider, layer: "ProviderLayer") -> bool:
    known = {urlsplit(url).netloc for url in provider.base_urls.values()}
    new = {urlsplit(url).netloc for url in [*layer.base_urls.values(), layer.base_url or ""] if url}
    return not new <= known


def _is_private(urls: list[str]) -> bool:
    hosts = [urlsplit(url).hostname or "" for url in urls]
    return any(_is_private_host(host) for host in hosts if host and "{" not in host)


def _is_private_host(host: str) -> bool:
    """A near address or name: the operator means it, so the guard against private addresses would be in the way."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal", ".lan"))


def _versioned(url: str, version: str, protocol: str) -> str:
    if not version:
        return url
    if version[:1].isdigit() and url.endswith("/openai/v1"):
        url = url.removesuffix("/v1") + ("" if protocol == "openai.responses" else "/deployments/{model}")
    return f"{url}?api-version={version}"


def _aliases(models: dict[str, Model], says: dict[str, str]) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for slug, model in models.items():
        for alias in model.aliases:
            taken = slug if alias in models else aliases.get(alias)
            if taken is not None and (alias in models or taken != slug):
                other = alias if alias in models else taken
                where = f'{says.get(slug, "catalog")}: models["{slug}"].aliases'
                raise ConfigError(f"{alias!r} already means {other!r}: take it out of one of them", where=where)
            aliases[alias] = slug
    return aliases
