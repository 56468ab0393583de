"""Which provider's exports are read how, and which of our providers its account is behind. In: a name. Out: functions."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from trunkline.reconcile import anthropic, azure, bedrock, google, openai
from trunkline.reconcile.types import Export


class Source(msgspec.Struct, frozen=True):
    """`providers` are the slugs of ours that such an account serves."""

    read: Callable[[bytes], Export]
    providers: tuple[str, ...]


SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "openai": Source(openai.read, ("openai",)),
        "anthropic": Source(anthropic.read, ("anthropic",)),
        "azure": Source(azure.read, ("azure",)),
        "google": Source(google.read, ("google", "vertex")),
        "bedrock": Source(bedrock.read, ("bedrock",)),
    }
)
