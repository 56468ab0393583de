"""Where each field of an offer comes from, and how two catalogs differ.

In: the layers in force, or two catalogs. Out: rows for showing. Not on any hot path: the catalog is made anew after each layer.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from trunkline.catalog.merge import Draft
from trunkline.catalog.query import find, nearest
from trunkline.catalog.types import Catalog, Model, Offer, PriceLine, Provider
from trunkline.errors import ConfigError

if TYPE_CHECKING:
    from trunkline.catalog.schema import CatalogLayer

_SKIPPED = frozenset({"offers", "price"})


class Origin(msgspec.Struct, frozen=True):
    """One field: its value in words, the layer that gave it, and the source where the layer names one."""

    part: str
    field: str
    value: str
    layer: str
    source: str = ""


class Change(msgspec.Struct, frozen=True):
    """One difference. `before` or `after` is empty where the thing is new or gone."""

    subject: str
    field: str
    before: str = ""
    after: str = ""


def explain(layers: Sequence["CatalogLayer"], offer_id: str) -> list[Origin]:
    """Every field of the offer, its model and its provider. Raises `ConfigError` where there is no such offer."""
    stages = _stages(layers)
    slug, provider = _named(stages[-1][1], offer_id)
    origins: dict[tuple[str, str], Origin] = {}
    for where, catalog in stages:
        for row in _rows(catalog, slug, provider, where):
            known = origins.get((row.part, row.field))
            if known is None or (known.value, known.source) != (row.value, row.source):
                origins[row.part, row.field] = row
    in_force = _rows(stages[-1][1], slug, provider, "")
    return [origins[row.part, row.field] for row in in_force]


def diff(old: Catalog, new: Catalog) -> list[Change]:
    """What changed from the one to the other: providers, models, offers, prices; field by field."""
    before, after = _flat(old), _flat(new)
    changes = []
    for subject in sorted({*before, *after}):
        was, now = before.get(subject, {}), after.get(subject, {})
        if not was or not now:
            changes.append(Change(subject, "", "there" if was else "", "there" if now else ""))
            continue
        fields = sorted({*was, *now})
        changes += [Change(subject, f, was.get(f, ""), now.get(f, "")) for f in fields if was.get(f) != now.get(f)]
    return changes


def price_text(line: PriceLine) -> str:
    """`1.10 USD perMTokens, prompt over 200000, tier flex, from 2026-01-01`."""
    when = line.when
    window = f"{when.utc_from or '00:00'}-{when.utc_to or '24:00'} UTC" if when.utc_from or when.utc_to else ""
    parts = (
        f"{line.value} USD {line.unit}",
        "" if when.prompt_tokens_gt is None else f"prompt over {when.prompt_tokens_gt}",
        "" if when.prompt_tokens_lte is None else f"prompt up to {when.prompt_tokens_lte}",
        f"tier {when.service_tier}" if when.service_tier else "",
        window,
        f"weekdays {when.utc_days}" if when.utc_days else "",
        f"from {line.valid_from}" if line.valid_from else "",
        f"until {line.valid_to}" if line.valid_to else "",
    )
    return ", ".join(part for part in parts if part)


def _stages(layers: Sequence["CatalogLayer"]) -> list[tuple[str, Catalog]]:
    """The catalog after each layer. A layer that only later ones complete is told together with the next."""
    stages: list[tuple[str, Catalog]] = []
    for count in range(1, len(layers) + 1):
        try:
            stages.append((layers[count - 1].where, _made_of(layers[:count])))
        except ConfigError:
            if count == len(layers):
                raise
    return stages


def _made_of(layers: Sequence["CatalogLayer"]) -> Catalog:
    draft = Draft()
    for layer in layers:
        draft.apply(layer)
    return draft.finish()


def _named(catalog: Catalog, offer_id: str) -> tuple[str, str]:
    found = find(catalog, offer_id)
    if found is not None and found.provider is not None:
        return found.model.slug, found.provider
    if found is not None and found.model.offers:
        pins = ", ".join(offer.id for offer in found.model.offers)
        raise ConfigError(f"{offer_id!r} is a model; name one of its offers: {pins}")
    near = ", ".join(nearest(catalog, offer_id))
    raise ConfigError(f"there is no offer {offer_id!r}" + (f"; did you mean {near}?" if near else ""))


def _rows(catalog: Catalog, slug: str, provider: str, where: str) -> list[Origin]:
    rows = []
    model = catalog.models.get(slug)
    if model is not None:
        rows += _field_rows("model", model, where)
    for offer in model.offers if model is not None else ():
        if offer.provider == provider:
            rows += [*_field_rows("offer", offer, where), *_price_rows(offer, where)]
    if provider in catalog.providers:
        rows += _field_rows("provider", catalog.providers[provider], where)
    return rows


def _field_rows(part: str, thing: Model | Offer | Provider, where: str) -> list[Origin]:
    return [Origin(part, name, value, where) for name, value in _fields(thing).items()]


def _price_rows(offer: Offer, where: str) -> list[Origin]:
    rows = []
    for line in offer.price:
        value, _, conditions = price_text(line).partition(", ")
        field = f"price {line.item}" + (f" ({conditions})" if conditions else "")
        source = f"{line.source} ({line.checked})" if line.checked else line.source
        rows.append(Origin("offer", field, value, where, source))
    return rows


def _fields(thing: Model | Offer | Provider) -> dict[str, str]:
    """The fields that say something, in words."""
    values = {name: getattr(thing, name) for name in thing.__struct_fields__ if name not in _SKIPPED}
    return {name: _text(value) for name, value in values.items() if value not in (None, "", (), {})}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} = {item}" for key, item in value.items())
    if isinstance(value, msgspec.Struct):
        known = {name: getattr(value, name) for name in value.__struct_fields__}
        return ", ".join(f"{name} = {_text(item)}" for name, item in known.items() if item not in (None, ""))
    return str(value)


def _flat(catalog: Catalog) -> dict[str, dict[str, str]]:
    flat = {f"provider {slug}": _fields(provider) for slug, provider in catalog.providers.items()}
    for model in catalog.models.values():
        flat[model.slug] = _fields(model)
        for offer in model.offers:
            flat[offer.id] = _fields(offer) | {row.field: row.value for row in _price_rows(offer, "")}
    return flat
