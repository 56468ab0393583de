"""A LiteLLM proxy's `config.yaml` as a `trunkline.toml`. In: the parsed file, the catalog. Out: tables, what was taken over, what was not and why. No IO.

Its form: https://docs.litellm.ai/docs/proxy/configs, https://docs.litellm.ai/docs/proxy/config_settings. A secret that stands in the file is never copied:
the new file names a variable in its place.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from trunkline.catalog.types import Catalog, When
from trunkline.takeover.litellm_providers import Place, Places
from trunkline.takeover.litellm_providers import secret as secret_of

IMPORTED = "imported"
"""Author of a model that the catalog does not know, and whose name has none."""
_NOT_CHAT = (
    "embedding",
    "image_generation",
    "audio_transcription",
    "audio_speech",
    "moderation",
    "rerank",
    "realtime",
    "ocr",
)
_SLUG_REST = re.compile(r"[^A-Za-z0-9._:@/+-]+")
_DONE = frozenset({"model", "api_key", "api_base", "base_url", "api_version", "custom_llm_provider"})
_OF_PLACES = frozenset(
    {
        "vertex_project",
        "vertex_location",
        "vertex_credentials",
        "aws_region_name",
        "aws_access_key_id",
        "aws_secret_access_key",
    }
    | {"aws_session_token", "region_name", "organization"}
)
_PRICES = {
    "input_cost_per_token": "prompt",
    "output_cost_per_token": "completion",
    "cache_read_input_token_cost": "input_cache_read",
    "cache_creation_input_token_cost": "input_cache_write",
}
_WHY = {
    "rpm": "limits of a deployment have no counterpart: a provider that says 429 rests by itself, and keys have limits of their own",
    "tpm": "limits of a deployment have no counterpart: a provider that says 429 rests by itself, and keys have limits of their own",
    "order": "a request can name the order of providers (`provider.order`); otherwise the best offer is first",
    "weight": "shares follow from what offers deliver; a request can name providers",
    "timeout": "deadlines are of the offer: `deadlines = { total_s = ... }`",
    "stream_timeout": "deadlines are of the offer: `deadlines = { first_event_s = ... }`",
    "max_retries": "another key or offer is tried by itself",
    "num_retries": "another key or offer is tried by itself",
}
_ROUTER_WHY = {
    "routing_strategy": "offers are ordered by what they deliver; see docs/routing.md",
    "num_retries": "another key or offer is tried by itself",
    "timeout": "deadlines are of the offer",
    "allowed_fails": "a provider that fails rests by itself",
    "cooldown_time": "a provider that fails rests by itself",
    "context_window_fallbacks": "a prompt that does not fit goes to the models that the request names in `models`",
    "redis_host": "write [shared] url",
    "redis_port": "write [shared] url",
    "redis_password": "write [shared] url",
    "redis_url": "write [shared] url",
    "enable_pre_call_checks": "always on",
}


class Taken(msgspec.Struct, frozen=True):
    """`tables` is what `trunkline.toml` is written of, `done` and `left` are lines for people."""

    tables: dict[str, Any]
    done: tuple[str, ...]
    left: tuple[str, ...]


def take_over(raw: Mapping[str, Any], catalog: Catalog) -> Taken:
    """All that has a counterpart. Raises ValueError where it is no such file."""
    if not isinstance(raw.get("model_list") or [], list):
        raise ValueError("`model_list` is no list: is this a LiteLLM configuration?")
    work = _Work(catalog)
    for at, entry in enumerate(raw.get("model_list") or []):
        work.deployment(entry, f"model_list[{at}]")
    work.finish_models()
    work.router(_section(raw, "router_settings"), _section(raw, "litellm_settings"))
    work.general(_section(raw, "general_settings"))
    for name in sorted(set(map(str, raw)) - {"model_list", "router_settings", "litellm_settings", "general_settings"}):
        why = (
            "set these variables where the gateway is started" if name == "environment_variables" else "no counterpart"
        )
        work.left(name, why)
    return Taken(work.tables(), tuple(work.done), tuple(work.not_done))


def _section(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = raw.get(name) or {}
    if not isinstance(found, Mapping):
        raise ValueError(f"`{name}` is no table: is this a LiteLLM configuration?")
    return {str(key): value for key, value in found.items()}


class _Group:
    """The deployments of one name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.offers: list[tuple[Place, str, Mapping[str, Any], Mapping[str, Any]]] = []
        """(place, name there, litellm_params, model_info)"""


class _Work:
    """Lives for one file."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._places = Places(catalog, self.left)
        self._groups: dict[str, _Group] = {}
        self._slugs: dict[str, str] = {}
        """Name of a group -> slug of its model."""
        self._models: dict[str, dict[str, Any]] = {}
        self._settings: dict[str, dict[str, Any]] = {}
        self.done: list[str] = []
        self.not_done: list[str] = []

    def left(self, what: str, why: str) -> None:
        line = f"{what}: {why}"
        if line not in self.not_done:
            self.not_done.append(line)

    # --- models

    def deployment(self, entry: Any, where: str) -> None:
        params = entry.get("litellm_params") if isinstance(entry, Mapping) else None
        name = entry.get("model_name") if isinstance(entry, Mapping) else None
        if not isinstance(params, Mapping) or not isinstance(name, str) or not isinstance(params.get("model"), str):
            self.left(where, "has no model_name, or no litellm_params.model")
            return
        info = entry.get("model_info") or {}
        mode = info.get("mode", "chat") if isinstance(info, Mapping) else "chat"
        if mode in _NOT_CHAT:
            self.left(
                f"{where} ({name})",
                f"{mode} is not served: Trunkline answers chat, Responses, Messages and Gemini requests",
            )
            return
        place, upstream = self._places.place(params, where)
        if place is None:
            return
        if "*" in name or "*" in upstream:
            self.done.append(
                f"{name}: the provider {place.slug}; every model of it that the catalog knows can be called by its own name"
            )
            return
        for param in params:
            if param not in _DONE | _OF_PLACES and param not in _PRICES:
                self.left(f"{where} ({name}) {param}", _WHY.get(param, "a request says this itself"))
        self._groups.setdefault(name, _Group(name)).offers.append(
            (place, upstream, params, info if isinstance(info, Mapping) else {})
        )

    def finish_models(self) -> None:
        for group in self._groups.values():
            self._finish(group)

    def _finish(self, group: _Group) -> None:
        slug = self._slug(group)
        self._slugs[group.name] = slug
        known = self._catalog.models.get(slug)
        model = self._models.setdefault(slug, {"slug": slug})
        if known is None:
            model |= {"name": group.name.rpartition("/")[2]} | _sizes(group)
        self._name(model, group.name)
        there = {offer.provider: offer for offer in known.offers} if known else {}
        offers: list[dict[str, Any]] = model.setdefault("offers", [])
        for place, upstream, params, info in group.offers:
            if place.slug in there and there[place.slug].upstream_model == upstream:
                continue
            if any(one["provider"] == place.slug and one["upstream_model"] == upstream for one in offers):
                continue
            if any(one["provider"] == place.slug for one in offers):
                self.left(
                    f"{group.name}: {upstream} at {place.slug}",
                    "a model has one offer at a provider; the first is taken",
                )
                continue
            offers.append(self._offer(group, slug, place, upstream, {**info, **params}, place.slug in there))
        if not offers:
            del model["offers"]
        self.done.append(
            f"{group.name}: {slug} at {', '.join(dict.fromkeys(place.slug for place, *_ in group.offers))}"
        )

    def _offer(
        self, group: _Group, slug: str, place: Place, upstream: str, told: Mapping[str, Any], is_priced: bool
    ) -> dict[str, Any]:
        offer: dict[str, Any] = {"provider": place.slug, "upstream_model": upstream}
        if place.protocols:
            offer["protocols"] = list(place.protocols)
        price = _price(told) or self._price_of(place, slug)
        if price:
            offer["price"] = price
        elif not is_priced:
            self.left(
                f"{group.name} at {place.slug}", "its price is not known, so its cost is shown as unpriced: add `price`"
            )
        return offer

    def _price_of(self, place: Place, slug: str) -> list[dict[str, str]]:
        """Of a second resource: that of the provider which it is like, where that depends on nothing."""
        model = self._catalog.models.get(slug)
        if place.slug == place.kind or model is None:
            return []
        lines = next((offer.price for offer in model.offers if offer.provider == place.kind), ())
        if any(line.when != When() for line in lines):
            return []
        return [{"item": line.item, "unit": line.unit, "value": f"{line.value.normalize():f}"} for line in lines]

    def _known(self, place: Place, upstream: str) -> str:
        """The slug of the catalog's model that this is."""
        for model in self._catalog.models.values():
            for offer in model.offers:
                if offer.upstream_model == upstream and offer.provider in (place.slug, place.kind):
                    return model.slug
        return self._meant(upstream)

    def _slug(self, group: _Group) -> str:
        """Of the catalog's model that all deployments are, as far as their names tell; a deployment of Azure may have any name."""
        known = {self._known(place, upstream) for place, upstream, *_ in group.offers} - {""}
        if not known:
            bases = [str(info.get("base_model") or "").rpartition("/")[2] for *_, info in group.offers]
            known = {self._meant(name) for name in (*bases, group.name)} - {""}
        return known.pop() if len(known) == 1 else self._new_slug(group)

    def _meant(self, name: str) -> str:
        return self._catalog.aliases.get(name, name if name in self._catalog.models else "")

    def _name(self, model: dict[str, Any], name: str) -> None:
        """The model is asked for by this name too, unless the catalog has another one of that name."""
        slug = model["slug"]
        means = self._meant(name)
        if means and means != slug:
            self.left(f"the name {name}", f"means {means} in the catalog; ask for {slug}")
        elif not means and name != slug:
            known = self._catalog.models.get(slug)
            aliases = model.setdefault("aliases", list(known.aliases) if known else [])
            if name not in aliases:
                aliases.append(name)

    def _new_slug(self, group: _Group) -> str:
        name = _SLUG_REST.sub("-", group.name).strip("-/") or "model"
        author, slash, _ = name.partition("/")
        return (
            name if slash and re.fullmatch(r"[a-z0-9][a-z0-9._-]*", author) else f"{IMPORTED}/{name.replace('/', '-')}"
        )

    # --- settings

    def router(self, router: Mapping[str, Any], litellm: Mapping[str, Any]) -> None:
        aliases = router.get("model_group_alias") or {}
        for alias, target in aliases.items() if isinstance(aliases, Mapping) else ():
            self._alias(str(alias), target.get("model") if isinstance(target, Mapping) else target)
        fallbacks = [*_dicts(router.get("fallbacks")), *_dicts(litellm.get("fallbacks"))]
        default = [*_names(router.get("default_fallbacks")), *_names(litellm.get("default_fallbacks"))]
        default += [name for one in fallbacks for name in _names(one.get("*"))]
        if default and default[0] in self._slugs:
            self._settings["routing"] = {"fallback_model": self._slugs[default[0]]}
            self.done.append(f"default fallback: [routing] fallback_model = {self._slugs[default[0]]}")
        for one in fallbacks:
            for name, others in one.items():
                if name != "*":
                    self.left(
                        f"fallbacks of {name}", f"a request names its own: `models = {_slug_list(self._slugs, others)}`"
                    )
        for name in sorted(set(router) - {"model_group_alias", "fallbacks", "default_fallbacks"}):
            self.left(f"router_settings.{name}", _ROUTER_WHY.get(name, "no counterpart"))
        if litellm.get("drop_params") is True:
            self.done.append("drop_params: parameters that no offer supports are dropped with notice, as by default")
        for name in sorted(set(litellm) - {"fallbacks", "default_fallbacks", "drop_params"}):
            self.left(f"litellm_settings.{name}", _ROUTER_WHY.get(name, "no counterpart"))

    def _alias(self, alias: str, target: Any) -> None:
        slug = self._slugs.get(str(target))
        if slug is None:
            self.left(f"router_settings.model_group_alias.{alias}", f"{target} is no model of this file")
            return
        self._name(self._models.setdefault(slug, {"slug": slug}), alias)
        self.done.append(f"alias {alias}: {slug}")

    def general(self, general: Mapping[str, Any]) -> None:
        if general.get("master_key"):
            named = secret_of(general["master_key"], "TRUNKLINE_MASTER_KEY")
            self._settings["auth"] = {"master_key": named.text}
            self.done.append(f"master key: {named.text}")
            if named.was_literal:
                self.left(
                    "general_settings.master_key",
                    "stands in the file as it is; set the variable TRUNKLINE_MASTER_KEY to it",
                )
        virtual = "virtual keys, teams and spend are in LiteLLM's database as hashes, so no key can be taken over: make new ones with `trunkline keys create`"
        self.left("virtual keys", virtual)
        for name in sorted(set(general) - {"master_key"}):
            why = "the store is Trunkline's own: [store] url" if name == "database_url" else "no counterpart"
            self.left(f"general_settings.{name}", why)

    def tables(self) -> dict[str, Any]:
        models = [model for model in self._models.values() if set(model) - {"slug"}]
        found: dict[str, Any] = {**self._settings, "providers": self._places.tables()}
        return found | ({"models": models} if models else {})


def _sizes(group: _Group) -> dict[str, Any]:
    """As far as LiteLLM's file tells them."""
    found: dict[str, Any] = {}
    for *_, info in group.offers:
        for ours, names in (
            ("context_tokens", ("max_input_tokens", "max_tokens")),
            ("max_output_tokens", ("max_output_tokens",)),
        ):
            value = next((info[name] for name in names if isinstance(info.get(name), int) and info[name] > 0), None)
            if value is not None:
                found.setdefault(ours, value)
        if info.get("supports_vision") is True:
            found["input"] = ["text", "image"]
        if info.get("supports_reasoning") is True:
            found["reasoning"] = True
    return found


def _price(told: Mapping[str, Any]) -> list[dict[str, str]]:
    """Dollars a token as dollars a million tokens."""
    lines = []
    for name, item in _PRICES.items():
        try:
            value = Decimal(str(told[name])) * 1_000_000 if told.get(name) is not None else None
        except InvalidOperation:
            value = None
        if value is not None and value.is_finite() and value >= 0:
            lines.append({"item": item, "unit": "perMTokens", "value": f"{value.normalize():f}"})
    return lines


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _names(value: Any) -> Sequence[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _slug_list(slugs: Mapping[str, str], others: Any) -> list[str]:
    return [slugs.get(name, name) for name in _names(others)]
