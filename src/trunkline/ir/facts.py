"""What routing needs to know of a request, whatever protocol carried it. In: a codec's peek. Out: `routing.plan`. Sizes are bytes or tokens, as named."""

import msgspec

from trunkline.ir.wish import NO_WISH, RoutingWish


class RequestFacts(msgspec.Struct, frozen=True):
    """The facts of one request. `parameters` are names of the catalog's vocabulary that the caller set to something."""

    protocol: str
    model: str
    stream: bool
    prompt_bytes: int
    """Text that goes in (messages, tools, schema), without the payload of data URLs."""
    max_output_tokens: int | None = None
    parameters: tuple[str, ...] = ()
    modalities: frozenset[str] = frozenset({"text"})
    needs: tuple[str, ...] = ()
    """Of `tools`, `response_format`, `reasoning`: what the answer would be wrong without, so never dropped."""
    stop: tuple[str, ...] = ()
    require_parameters: bool | None = None
    """None: the setting decides."""
    include_cost: bool | None = None
    """The caller's `usage.include`; None: the setting decides."""
    wants_usage: bool = False
    """The caller asked for the usage event of a stream."""
    session_id: str = ""
    """What the caller names the conversation, in whatever field: keeps its turns together."""
    wish: RoutingWish = NO_WISH
    prompt_tokens: int | None = None
    """Of the text, where it was counted."""
    counted_for: str = ""
    """The author of the models whose tokenizer counted it."""
