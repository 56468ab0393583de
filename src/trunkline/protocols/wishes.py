"""What callers ask of the gateway itself, in whatever protocol: keys beside those of the protocol. In: the top level of a body. Out: `Wishes`.

ZenMux's words: https://docs.zenmux.ai/guide/advanced/provider-routing.html, https://docs.zenmux.ai/guide/advanced/fallback.html,
https://docs.zenmux.ai/guide/advanced/model-routing.html. OpenRouter's: https://openrouter.ai/docs/features/provider-routing,
https://openrouter.ai/docs/guides/routing (`models`), https://openrouter.ai/docs/client-sdks/python/components/maxprice.md.
Keys that neither we nor they know are passed over; a value that cannot be meant is refused by the name of its field.
"""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from trunkline.errors import InvalidParams
from trunkline.ir.wish import NO_WISH, AutoWish, Hedge, PolicyWish, RoutingWish
from trunkline.protocols.rawjson import UNREADABLE, Fields

_T = TypeVar("_T")

GATEWAY_KEYS = ("provider", "models", "model_routing_config", "usage", "transforms", "route", "plugins")
"""Ours and other gateways' (OpenRouter, ZenMux): always taken out, a provider would refuse them."""
MAX_NAMES = 64
"""Of providers or models in one list."""
MAX_NAME = 256
"""Characters of one name."""
MAX_HEDGE_MS = 600_000
_FACTORS = ("latency", "price", "throughput")
_PREFERENCES = ("balanced", "performance", "price")
_PRICED = ("prompt", "completion", "request", "image", "audio")
_FAULTY = re.compile(r" - at `\$(\S*)`$")


class Wishes(msgspec.Struct, frozen=True):
    """None where the caller did not say, so that the setting decides."""

    require_parameters: bool | None = None
    include_cost: bool | None = None
    wish: RoutingWish = NO_WISH


class _Routing(msgspec.Struct):
    type: str | None = None
    primary_factor: str | None = None
    providers: list[str] | None = None


class _Policy(msgspec.Struct):
    no_training: bool | None = None
    zero_retention: bool | None = None
    region: str | None = None


class _Hedge(msgspec.Struct):
    after_ms: int | float | None = None


class _Sort(msgspec.Struct):
    by: str | None = None


class _Provider(msgspec.Struct):
    require_parameters: bool | None = None
    allow_fallbacks: bool | None = None
    routing: _Routing | None = None
    fallback: str | list[str] | bool | None = None
    data_policy: _Policy | None = None
    data_collection: str | None = None
    zdr: bool | None = None
    hedge: bool | _Hedge | None = None
    order: list[str] | None = None
    only: list[str] | None = None
    ignore: list[str] | None = None
    sort: str | _Sort | None = None
    max_price: dict[str, Decimal | None] | None = None


class _Auto(msgspec.Struct):
    available_models: list[str] | None = None
    preference: str | None = None


class _Usage(msgspec.Struct):
    include: bool | None = None


_NO_PROVIDER = _Provider()
_provider_decoder = msgspec.json.Decoder(_Provider | None)
_models_decoder = msgspec.json.Decoder(list[str] | None)
_auto_decoder = msgspec.json.Decoder(_Auto | None)
_usage_decoder = msgspec.json.Decoder(_Usage | None)
NO_WISHES = Wishes()


def wishes_of(fields: Fields) -> Wishes:
    """What is wished. Raises `InvalidParams` naming the field."""
    # One look for each key: it costs every request, which seldom has one of them.
    if (
        "provider" not in fields
        and "usage" not in fields
        and "models" not in fields
        and "model_routing_config" not in fields
    ):
        return NO_WISHES
    provider = _read(fields, "provider", _provider_decoder)
    usage = _read(fields, "usage", _usage_decoder)
    return Wishes(
        provider.require_parameters if provider else None,
        usage.include if usage else None,
        _wish(provider or _NO_PROVIDER, _models(fields), _auto(fields)),
    )


def named(model: str | None, wishes: Wishes) -> tuple[str, Wishes]:
    """The model that is asked for: `model`, or the first of `models` where that alone is given, as OpenRouter allows. "" where neither is."""
    models = wishes.wish.models
    if model or not models:
        return model or "", wishes
    wish = msgspec.structs.replace(wishes.wish, models=models[1:], places=wishes.wish.places[1:])
    return models[0], msgspec.structs.replace(wishes, wish=wish)


def first_model(fields: Fields) -> str:
    """Of `models`, for a request without `model`; "" where there is none."""
    models = _models(fields)
    return models[0] if models else ""


def _wish(provider: _Provider, models: tuple[str, ...], auto: AutoWish) -> RoutingWish:
    order, factor = _routing(provider)
    fallbacks, by_default = _fallbacks(provider.fallback)
    places = {model: f"models[{at}]" for at, model in enumerate(models)}
    for model, place in fallbacks.items():
        places.setdefault(model, place)
    wish = RoutingWish(
        factor=factor,  # type: ignore[arg-type]
        order=order,
        only=_names(provider.only, "provider.only"),
        ignore=_names(provider.ignore, "provider.ignore"),
        allow_fallbacks=provider.allow_fallbacks is not False,
        max_price=_ceilings(provider.max_price),
        data_policy=_policy(provider),
        models=tuple(places),
        places=tuple(places.values()),
        auto=auto,
        hedge=_hedge(provider.hedge),
        default_fallback=by_default,
    )
    return NO_WISH if wish == NO_WISH else wish


def _routing(provider: _Provider) -> tuple[tuple[str, ...], str]:
    """Providers to be tried first, and what the rest is ordered by; ZenMux's `routing` wins over OpenRouter's `order` and `sort`."""
    order = _names(provider.order, "provider.order")
    by = provider.sort.by if isinstance(provider.sort, _Sort) else provider.sort
    factor = _one_of(by, "provider.sort.by" if isinstance(provider.sort, _Sort) else "provider.sort", _FACTORS)
    routing = provider.routing
    if routing is None:
        return order, factor
    kind = _one_of(routing.type, "provider.routing.type", ("priority", "order"))
    if kind == "order" and not routing.providers:
        raise InvalidParams(
            'A `provider.routing` of type "order" needs `providers`, e.g. ["openai", "azure"].',
            param="provider.routing.providers",
        )
    # `llm-zenmux` sends "priority" with `providers` and no factor: then it is their order that is meant.
    if kind == "priority" and routing.primary_factor is None and not routing.providers:
        raise InvalidParams(
            f'A `provider.routing` of type "priority" needs `primary_factor`: {_listed(_FACTORS)}.',
            param="provider.routing.primary_factor",
        )
    factor = _one_of(routing.primary_factor, "provider.routing.primary_factor", _FACTORS) or factor
    return _names(routing.providers, "provider.routing.providers") or order, factor


def _fallbacks(value: str | list[str] | bool | None) -> tuple[dict[str, str], bool]:
    """Models to fall back to with their places, and whether that of the settings may be added. `false` wants none at all."""
    where = "provider.fallback"
    # As text it comes from command lines, where it means the same.
    value = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    if isinstance(value, str):
        return dict.fromkeys(_names([value], where), where), True
    if isinstance(value, list):
        return {name: f"{where}[{at}]" for at, name in enumerate(_names(value, where))}, True
    return {}, value is not False


def _policy(provider: _Provider) -> PolicyWish:
    collection = _one_of(provider.data_collection, "provider.data_collection", ("allow", "deny"))
    policy = provider.data_policy or _Policy()
    return PolicyWish(
        no_training=bool(policy.no_training) or collection == "deny",
        zero_retention=bool(policy.zero_retention or provider.zdr),
        region=_names([policy.region], "provider.data_policy.region")[0] if policy.region else "",
    )


def _hedge(value: bool | _Hedge | None) -> Hedge | None:
    if not value:
        return None
    after_ms = value.after_ms if isinstance(value, _Hedge) else None
    if after_ms is None:
        return Hedge()
    if not 0 <= after_ms <= MAX_HEDGE_MS:
        raise InvalidParams(
            f"`provider.hedge.after_ms` must be between 0 and {MAX_HEDGE_MS} milliseconds.",
            param="provider.hedge.after_ms",
        )
    return Hedge(int(after_ms))


def _ceilings(prices: dict[str, Decimal | None] | None) -> tuple[tuple[str, str], ...]:
    found = []
    for item, most in (prices or {}).items():
        if most is None:
            continue
        _one_of(item, "provider.max_price", _PRICED)
        if not most.is_finite() or most < 0:
            where = f"provider.max_price.{item}"
            raise InvalidParams(f"`{where}` must be a price in USD, zero or more, e.g. 1.5.", param=where)
        found.append((item, str(most)))
    return tuple(found)


def _models(fields: Fields) -> tuple[str, ...]:
    return _names(_read(fields, "models", _models_decoder), "models")


def _auto(fields: Fields) -> AutoWish:
    config = _read(fields, "model_routing_config", _auto_decoder)
    if config is None:
        return AutoWish()
    where = "model_routing_config"
    preference: Any = _one_of(config.preference, f"{where}.preference", _PREFERENCES) or "balanced"
    return AutoWish(_names(config.available_models, f"{where}.available_models"), preference)


def _names(names: Sequence[str] | None, where: str) -> tuple[str, ...]:
    """Names in their order. They are kept with the plans of their kind, so neither number nor length may be any."""
    if not names:
        return ()
    if len(names) > MAX_NAMES:
        raise InvalidParams(f"`{where}` has {len(names)} names; give at most {MAX_NAMES}.", param=where)
    for at, name in enumerate(names):
        if not 0 < len(name) <= MAX_NAME:
            place = f"{where}[{at}]"
            raise InvalidParams(f"`{place}` must be a name of 1 to {MAX_NAME} characters.", param=place)
    return tuple(dict.fromkeys(names))


def _one_of(value: str | None, where: str, known: Iterable[str]) -> str:
    """The word, "" where none is given. Raises for one that is not known."""
    if value is None:
        return ""
    if value not in known:
        raise InvalidParams(f"`{where}` is not right: {value[:100]!r} is not one of {_listed(known)}.", param=where)
    return value


def _listed(known: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in known)


def _read(fields: Fields, name: str, decoder: "msgspec.json.Decoder[_T | None]") -> _T | None:
    value = fields.get(name)
    if value is None:
        return None
    try:
        return decoder.decode(value)
    except UNREADABLE as error:
        found = _FAULTY.search(str(error))
        where = name + (found[1] if found else "")
        raise InvalidParams(f"`{where}` is not right: {error}.", param=where) from error
