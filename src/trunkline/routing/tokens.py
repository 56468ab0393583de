"""How many tokens a prompt of so many bytes is, as far as that can be told without a tokenizer. In: usage that providers returned. Out: bounds.

Families of models share tokenizers; a family is the models of one author.
"""

import msgspec

SURE_BYTES_PER_TOKEN = 16
"""Common tokens have 4 bytes, those of Indic scripts up to 8 on average; a prompt of more bytes than this times the limit is refused without counting."""
USUAL_BYTES_PER_TOKEN = 4.0
"""Of a family of which nothing was learned yet: English prose in the tokenizers in use."""
LEAST_BYTES = 1_000
"""Of shorter prompts the tokens around the turns are too large a share."""
ENOUGH = 50
"""Prompts from which on the highest ratio that was seen says something of the highest that there is."""
_LEAST_BOUND = 12.0
_MARGIN = 3.0
"""Tables and indented data have long tokens of blanks: a family's highest ratio so far is no measure of the next document's."""
_HALVED_AT = 10_000_000
"""Tokens; beyond it older prompts count half, so that a family's new tokenizer is learned."""


class _Family:
    __slots__ = ("bytes", "highest", "prompts", "tokens")

    def __init__(self) -> None:
        self.bytes = self.tokens = 0.0
        self.highest = 0.0
        self.prompts = 0


class Learned:
    """Bytes per token of each family, from our own traffic. Lives as long as the process; a reload keeps it."""

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}

    def observe(self, family: str, prompt_bytes: int, tokens: int) -> None:
        """Take in a prompt of text that a provider has counted."""
        if prompt_bytes < LEAST_BYTES or tokens <= 0:
            return
        known = self._families.get(family)
        if known is None:
            known = self._families[family] = _Family()
        if known.tokens > _HALVED_AT:
            known.bytes /= 2
            known.tokens /= 2
        known.bytes += prompt_bytes
        known.tokens += tokens
        known.prompts += 1
        known.highest = max(known.highest, prompt_bytes / tokens)

    def factor(self, family: str) -> float:
        """Bytes of a token on average: for estimates."""
        known = self._families.get(family)
        return USUAL_BYTES_PER_TOKEN if known is None else known.bytes / known.tokens

    def bound(self, family: str) -> float:
        """More bytes than a token of any prompt has on average: what is refused by it does not fit, as far as that can be known."""
        known = self._families.get(family)
        if known is None or known.prompts < ENOUGH:
            return SURE_BYTES_PER_TOKEN
        return min(float(SURE_BYTES_PER_TOKEN), max(_LEAST_BOUND, _MARGIN * known.highest))


class Room(msgspec.Struct, frozen=True):
    """What goes into an offer. 0 means that no limit is known."""

    input_tokens: int
    """Of the prompt alone."""
    context_tokens: int
    """Of prompt and answer together."""


DOUBT = 1.5
"""A prompt that would be too long even if its tokens were this much longer than usual probably is."""


class Prompt(msgspec.Struct, frozen=True):
    """What is known of a prompt's size. `counted` are its tokens, at least, by the tokenizer of the model; None: nobody counted."""

    bytes: int
    family: str
    counted: int | None = None


def too_long(room: Room, prompt: Prompt, learned: Learned) -> int | None:
    """The tokens that it has at least, where these are surely too many; else None."""
    if not room.input_tokens or prompt.bytes <= room.input_tokens:
        return None
    tokens = int(prompt.bytes / learned.bound(prompt.family)) if prompt.counted is None else prompt.counted
    return tokens if tokens > room.input_tokens else None


def doubt(room: Room, prompt: Prompt, asked_tokens: int, learned: Learned) -> str:
    """Why it may not fit although that is not sure; "" where it probably does."""
    limit, context = room.input_tokens, room.context_tokens
    if not limit:
        return ""
    tokens = prompt.counted
    if tokens is None:
        tokens = int(prompt.bytes / (DOUBT * learned.factor(prompt.family)))
    if prompt.bytes > limit and tokens > limit:
        return f"the prompt is probably too long: about {tokens} tokens, {limit} at most"
    if asked_tokens and context and (asked_tokens >= context or tokens + asked_tokens > context):
        return f"the prompt and {asked_tokens} output tokens are probably more than its context of {context}"
    return ""


def sure_bytes(room: Room, asked_tokens: int) -> int | None:
    """A prompt of at most so many bytes raises no question of its size; None: none does."""
    if not room.input_tokens:
        return None
    left = room.context_tokens - asked_tokens
    return min(room.input_tokens, left) if asked_tokens and left > 0 else room.input_tokens
