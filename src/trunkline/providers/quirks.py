"""What the codecs must know of one offer, put together from data. In: provider, offer, model, protocol, and the catalog's profiles. Out: `codec.Quirks`.

From weak to strong: the protocol's own (`codec.QUIRKS`), the profiles that match, what the catalog says of parameters and names,
`quirks` of the provider, `quirks` of the offer. Pure; asked once for an offer and protocol (see `targets`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from trunkline.catalog.types import Model, Offer, Profile, Provider
from trunkline.protocols.codec import CHAT, QUIRKS, RESPONSES, Quirks

_ADD_UP = frozenset({"refused", "refused_while_thinking", "accepted"})
"""A profile adds to these; what an operator writes takes their place."""

_ATTRIBUTES = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "logit_bias": "logit_bias",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
    "stop": "stop",
    "parallel_tool_calls": "parallel_tool_calls",
    "verbosity": "verbosity",
    "service_tier": "service_tier",
    "prompt_cache_key": "cache_key",
}
"""Parameters of the catalog's vocabulary that can be left out of a request -> the attribute of `ir.request.Request`. An offer that has a list of
parameters without one of these refuses it."""
_DROPPED = {
    **_ATTRIBUTES,
    "user": "user",
    "metadata": "metadata",
    "safety_identifier": "safety_identifier",
    "web_search_options": "web_search",
}
_OPENAI = (CHAT, RESPONSES)


def quirks_of(
    provider: Provider, offer: Offer, model: Model, protocol: str, profiles: Sequence[Profile] = ()
) -> Quirks:
    """How this offer differs from the rest of its protocol."""
    fields: dict[str, Any] = {}
    base = QUIRKS[protocol]
    for given in (*_matching(profiles, provider, offer, model, protocol), _of_the_catalog(provider, offer, protocol)):
        for name, value in given.items():
            before = fields.get(name, getattr(base, name))
            fields[name] = before | frozenset(value) if name in _ADD_UP else _fitting(value, before)
    for given in (provider.quirks.get(protocol, {}), offer.quirks.get(protocol, {})):
        fields |= {name: _fitting(value, getattr(base, name)) for name, value in given.items()}
    return msgspec.structs.replace(base, **fields) if fields else base


def _matching(
    profiles: Iterable[Profile], provider: Provider, offer: Offer, model: Model, protocol: str
) -> Iterator[Mapping[str, Any]]:
    names = (model.slug.lower(), offer.upstream_model.lower())
    for profile in profiles:
        if (
            (not profile.protocols or protocol in profile.protocols)
            and (not profile.providers or provider.slug in profile.providers)
            and profile.reasoning in (None, model.reasoning)
            and (not profile.models or _names_one(profile.models, names))
        ):
            yield profile.quirks


def _names_one(patterns: tuple[str, ...], names: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern.lower()) for pattern in patterns for name in names)


def _of_the_catalog(provider: Provider, offer: Offer, protocol: str) -> dict[str, Any]:
    """What renames, drops and lists of parameters say, so that nobody has to say it twice. They are in the words of Chat."""
    found: dict[str, Any] = {}
    refused: set[str] = set()
    if protocol == CHAT:
        # The other way round this is the protocol's own word.
        if {**provider.rename, **offer.rename}.get("max_completion_tokens") == "max_tokens":
            found["limit_word"] = "max_tokens"
        refused |= {_DROPPED[name] for name in provider.drop if name in _DROPPED}
        if not provider.usage_in_stream:
            refused.add("include_usage")
    if protocol in _OPENAI and offer.supported_parameters is not None:
        taken = offer.supported_parameters
        refused |= {attribute for name, attribute in _ATTRIBUTES.items() if name not in taken}
    return {**found, "refused": refused} if refused else found


def _fitting(value: Any, example: Any) -> Any:
    """Lists of a file in the type of the field."""
    if isinstance(example, frozenset):
        return frozenset(value)
    return tuple(value) if isinstance(value, list) else value
