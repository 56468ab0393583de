"""What a key may call, by its rules. In: `KeyRules`, models and offers. Out: whether, and `AccessDenied` that names the rule."""

from collections.abc import Mapping
from typing import Any

from trunkline.accounts.keys import ApiKey
from trunkline.accounts.types import NO_RULES, KeyRules
from trunkline.catalog.types import Offer, Provider
from trunkline.errors import AccessDenied
from trunkline.routing.eligible import policy_of
from trunkline.routing.wished import against_policy

_ANY = "/*"


def part_of_kind(rules: KeyRules) -> tuple[Any, ...]:
    """What tells apart the plans of keys; nothing where all is allowed."""
    if rules is NO_RULES:
        return ()
    return (rules.models, rules.providers, rules.data_policy)


def allows_model(rules: KeyRules, slug: str) -> bool:
    """By its slug, or by its author's name and a star."""
    models = rules.models
    return not models or slug in models or slug.partition("/")[0] + _ANY in models


def check_model(rules: KeyRules, slug: str) -> None:
    """Raises AccessDenied."""
    if not allows_model(rules, slug):
        raise AccessDenied(
            f"This key may not call `{slug}`: its allowed models are {', '.join(rules.models)}.", param="model"
        )


def check_protocol(key: ApiKey, protocol: str) -> None:
    """That it opens models at all, in this protocol. Raises AccessDenied."""
    if key.kind != "inference":
        raise AccessDenied("This key opens the management API, and no models. Make one of the kind `inference`.")
    allowed = key.rules.protocols
    if allowed and protocol not in allowed:
        raise AccessDenied(f"This key may not use `{protocol}`: its allowed protocols are {', '.join(allowed)}.")


def allows_offer(rules: KeyRules, offer: Offer, providers: Mapping[str, Provider]) -> bool:
    """Model, provider and data policy."""
    if rules is NO_RULES:
        return True
    if rules.providers and offer.provider not in rules.providers:
        return False
    return allows_model(rules, offer.model) and against_policy(rules.data_policy, policy_of(offer, providers)) is None
