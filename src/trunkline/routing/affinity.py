"""Whether a conversation stays with the offer that holds its prompt cache or can open its state. In: what is held, prices, waiting. Out: yes or no, and why.

What is kept at a provider is worth `cached tokens x (price of input - price of a cache read)`; going elsewhere is worth the waiting that it saves. Pure.
"""

import msgspec

USD_PER_SECOND = 0.005
"""What a second until the first token is worth: 18 USD an hour, for people wait in some conversations and machines in others. 10,000 tokens of a model of
3 USD a million, read at a tenth of that (https://platform.claude.com/docs/en/build-with-claude/prompt-caching), are worth 5.4 seconds by it."""


class Held(msgspec.Struct, frozen=True, gc=False):
    """What a provider's account still has of a conversation."""

    offer: str
    """Its id."""
    key_index: int | None = None
    """Which of the provider's keys, from 0; None where there is one alone."""
    cached_tokens: int = 0
    until_s: float = 0.0
    """Until then the cache lives, in monotonic seconds."""
    ttl_s: float = 300.0
    """How long it lives from each use."""
    is_bound: bool = False
    """The request brings state that only this account may be able to open."""


def saving_usd(held: Held, input_usd: float | None, cache_read_usd: float | None) -> float:
    """What the cache is worth in one request. Prices are USD per million tokens; where one is unknown nothing is known to be saved."""
    if input_usd is None or cache_read_usd is None:
        return 0.0
    return max(0.0, held.cached_tokens * (input_usd - cache_read_usd) / 1e6)


def gain_usd(held_ms: float | None, other_ms: float | None) -> float:
    """What the other offer's first token is worth, in so far as it comes sooner."""
    if held_ms is None or other_ms is None:
        return 0.0
    return max(0.0, held_ms - other_ms) / 1000 * USD_PER_SECOND
