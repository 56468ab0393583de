"""What a caller wishes of routing, in one form for the words of ZenMux, OpenRouter and our own. In: a codec's peek. Out: `routing`. Hashable.

https://docs.zenmux.ai/guide/advanced/provider-routing.html, https://docs.zenmux.ai/guide/advanced/model-routing.html,
https://openrouter.ai/docs/features/provider-routing, https://openrouter.ai/docs/features/model-routing
"""

from typing import Literal

import msgspec

Factor = Literal["", "latency", "price", "throughput"]
Preference = Literal["balanced", "performance", "price"]


class Hedge(msgspec.Struct, frozen=True):
    """Start a second offer when the first is silent for so long; None: for its own 95th percentile."""

    after_ms: int | None = None


class PolicyWish(msgspec.Struct, frozen=True):
    """What an offer's data policy must promise; an offer whose policy is unknown does not."""

    no_training: bool = False
    zero_retention: bool = False
    region: str = ""


class AutoWish(msgspec.Struct, frozen=True):
    """For `zenmux/auto` and `trunkline/auto`. No models: those of the settings."""

    available_models: tuple[str, ...] = ()
    preference: Preference = "balanced"


class RoutingWish(msgspec.Struct, frozen=True):
    """Empty fields wish nothing. Providers are slugs, models are names as callers write them."""

    factor: Factor = ""
    """What the offers are ordered by, before anything else; "": our own rating."""
    order: tuple[str, ...] = ()
    """Providers to be tried first, in this order."""
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    """False: only the providers of `order` are tried; without an order, the first offer of each model."""
    max_price: tuple[tuple[str, str], ...] = ()
    """(item, USD per unit as written), e.g. ("prompt", "1.5"): the most that an offer may cost."""
    data_policy: PolicyWish = PolicyWish()
    models: tuple[str, ...] = ()
    """Models to fall back to, in order, after the one asked for."""
    places: tuple[str, ...] = ()
    """Where in the request each of them stands, e.g. `models[1]`."""
    auto: AutoWish = AutoWish()
    hedge: Hedge | None = None
    default_fallback: bool = True
    """False: the model of the settings is no fallback either."""


NO_WISH = RoutingWish()
