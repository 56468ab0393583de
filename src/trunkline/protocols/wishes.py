"""What callers ask of the gateway itself, in whatever protocol: keys beside those of the protocol. In: the top level of a body. Out: `Wishes`."""

from typing import TypeVar

import msgspec

from trunkline.errors import InvalidParams
from trunkline.protocols.rawjson import UNREADABLE, Fields

_T = TypeVar("_T")

GATEWAY_KEYS = ("provider", "models", "model_routing_config", "usage", "transforms", "route", "plugins")
"""Ours and other gateways' (OpenRouter, ZenMux): always taken out, a provider would refuse them."""


class _Provider(msgspec.Struct):
    require_parameters: bool | None = None


class _Usage(msgspec.Struct):
    include: bool | None = None


class Wishes(msgspec.Struct, frozen=True):
    """None where the caller did not say, so that the setting decides."""

    require_parameters: bool | None = None
    include_cost: bool | None = None


_provider_decoder = msgspec.json.Decoder(_Provider | None)
_usage_decoder = msgspec.json.Decoder(_Usage | None)
NO_WISHES = Wishes()


def wishes_of(fields: Fields) -> Wishes:
    """What is wished. Raises `InvalidParams` naming the field."""
    if "provider" not in fields and "usage" not in fields:
        return NO_WISHES
    provider = _read(fields, "provider", _provider_decoder)
    usage = _read(fields, "usage", _usage_decoder)
    return Wishes(provider.require_parameters if provider else None, usage.include if usage else None)


def _read(fields: Fields, name: str, decoder: "msgspec.json.Decoder[_T | None]") -> _T | None:
    value = fields.get(name)
    if value is None:
        return None
    try:
        return decoder.decode(value)
    except UNREADABLE as error:
        raise InvalidParams(f"`{name}` is not right: {error}.", param=name) from error
