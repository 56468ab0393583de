"""Which protocol an offer is called in, and what a codec must know of it. In: account, offer, model. Out: a protocol's name, a `codec.Target`, `Edits`."""

from collections.abc import Mapping

import msgspec

from trunkline.catalog.types import Model, Offer
from trunkline.protocols.codec import CHAT, CONVERSE, GEMINI, MESSAGES, RESPONSES, Quirks, Target
from trunkline.providers.accounts import Account
from trunkline.providers.quirks import quirks_of

_BY_FIDELITY = (MESSAGES, GEMINI, RESPONSES, CHAT, CONVERSE)
"""Where the caller's own protocol is not spoken: the one that loses least of a model's answer first."""
_ONE_DIALECT = frozenset({"anthropic", "bedrock", "vertex"})
"""Claude's signatures hold wherever it is served: https://platform.claude.com/docs/en/build-with-claude/extended-thinking#thinking-encryption."""


class Edits(msgspec.Struct, frozen=True):
    """What is changed at the top level of a Chat body on its way to this offer."""

    drop: tuple[str, ...] = ()
    rename: Mapping[str, str] = {}
    ask_usage: bool = True
    """Whether `stream_options.include_usage` is understood."""


def protocol_for(account: Account, offer: Offer, client_protocol: str) -> str | None:
    """The caller's own where the offer speaks it and the account has an address for it, so that bytes are passed through; else the best, if any."""
    spoken = [protocol for protocol in offer.protocols if protocol in account.base_urls]
    if client_protocol in spoken:
        return client_protocol
    return next((protocol for protocol in _BY_FIDELITY if protocol in spoken), None)


def target(account: Account, offer: Offer, model: Model, protocol: str, *, stream: bool, request_id: str) -> Target:
    """What the codec of `protocol` must know."""
    known = account.targets.get((offer.id, protocol))
    if known is None:
        known = account.targets[offer.id, protocol] = _target(account, offer, model, protocol)
    return msgspec.structs.replace(known, stream=stream, request_id=request_id)


def quirks(account: Account, offer: Offer, model: Model, protocol: str) -> Quirks:
    """The quirks alone."""
    return target(account, offer, model, protocol, stream=False, request_id="").quirks


def edits(account: Account, offer: Offer, protocol: str) -> Edits:
    """Renames and drops, which are in Chat's words and for Chat only: of a passed-through body, and of one that a codec wrote (`seed` of Mistral)."""
    if protocol != CHAT:
        return Edits()
    provider = account.provider
    rename = {**provider.rename, **offer.rename} if offer.rename else provider.rename
    return Edits(provider.drop, rename, provider.usage_in_stream)


def _target(account: Account, offer: Offer, model: Model, protocol: str) -> Target:
    return Target(
        protocol=protocol,
        upstream_model=offer.upstream_model,
        dialect=_dialect(account, offer, protocol),
        quirks=quirks_of(account.provider, offer, model, protocol, account.profiles),
        max_output_tokens=offer.max_output_tokens or model.max_output_tokens or None,
    )


def _dialect(account: Account, offer: Offer, protocol: str) -> str:
    """Encrypted reasoning is of the provider that made it. Claude's and Gemini's is of the model, wherever it runs."""
    if protocol == GEMINI:
        return ""
    if protocol == MESSAGES and (account.provider.slug in _ONE_DIALECT or "claude" in offer.upstream_model.lower()):
        return ""
    return account.provider.slug
