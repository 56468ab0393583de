"""A request in canonical form. In: a codec's `read_request`. Out: `protocols.settle`, then another codec's `write_request`.

None, "" and () mean that the caller did not say. What several protocols know has a field here; what one alone knows is in `extras`.
"""

from typing import Literal

import msgspec

from trunkline.ir.parts import CacheMark, Carry, Turn

ANY_OBJECT = msgspec.Raw(b'{"type":"object","properties":{}}')


class Tool(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the model may call. Web search is `Request.web_search`, not a tool."""

    name: str
    description: str = ""
    parameters: msgspec.Raw = ANY_OBJECT
    """JSON Schema, as it came. Of a `custom` tool unused, of a `vendor` tool unused."""
    strict: bool | None = None
    kind: Literal["function", "custom", "hosted", "typed"] = "function"
    """`custom`: its argument is free text (the grammar is in the carry). `hosted`: run by the vendor. `typed`: run by the client, but its
    schema is the vendor's (computer, bash, text editor, shell). Of the last two `name` is the vendor's type and the carry all of it."""
    namespace: str = ""
    cache: CacheMark | None = None
    carry: Carry | None = None


class ToolChoice(msgspec.Struct, frozen=True, omit_defaults=True):
    """`names` narrows the choice: `required` with one name is a forced tool, `auto` with names is OpenAI's `allowed_tools`."""

    mode: Literal["auto", "required", "none"] = "auto"
    names: tuple[str, ...] = ()


class Reasoning(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How hard to think. A reader sets what was said; `settle` leaves of effort and budget the one that the target takes."""

    enabled: bool | None = None
    """True without a budget is Anthropic's `adaptive`. False wins over the others."""
    effort: str = ""
    """`minimal`, `low`, `medium`, `high`, `xhigh`, `max`. (`none` is `enabled=False`.)"""
    budget_tokens: int | None = None
    shown: bool | None = None
    """Whether reasoning is to be in the answer (`exclude`, `includeThoughts`, `display`)."""
    summary: str = ""
    """`auto`, `concise`, `detailed`."""
    encrypted: bool = False
    """The caller keeps encrypted reasoning (`include: ["reasoning.encrypted_content"]`)."""


class Format(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An answer in JSON. Free text is no format."""

    kind: Literal["json_object", "json_schema"]
    name: str = "answer"
    schema: msgspec.Raw = ANY_OBJECT
    strict: bool | None = None
    description: str = ""


class WebSearch(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The provider may search the web."""

    context_size: str = ""
    """OpenAI's `low`, `medium`, `high`."""
    max_uses: int | None = None
    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    location: msgspec.Raw = msgspec.Raw(b"")
    """`{"city","region","country","timezone"}`, each optional, without `type`; the same words in OpenAI's and Anthropic's protocols."""
    cache: CacheMark | None = None
    carry: Carry | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    origin: str
    """The protocol that it came in."""
    model: str
    turns: tuple[Turn, ...]
    """System prompts are turns too, where they stand; those of a slot of their own (`system`, `instructions`) come first."""

    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    web_search: WebSearch | None = None

    max_output_tokens: int | None = None
    temperature: float | None = None
    """0 to 2, as in OpenAI's and Gemini's protocols. Anthropic's 0 to 1 are the lower half of it, unscaled."""
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    candidates: int | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    stop: tuple[str, ...] = ()

    reasoning: Reasoning | None = None
    format: Format | None = None
    verbosity: str = ""
    modalities: tuple[str, ...] = ()
    """Of the answer, in lower case."""

    cache: CacheMark | None = None
    """The mark on the request itself, Anthropic's automatic caching."""
    cache_key: str = ""
    cache_retention: str = ""
    user: str = ""
    safety_identifier: str = ""
    metadata: dict[str, str] | None = None
    service_tier: str = ""
    """OpenAI's words: `auto`, `default`, `flex`, `priority`."""

    stream: bool = False
    include_usage: bool = False
    """Chat alone: the caller wants the usage event of a stream. The other three always have it."""
    extras: dict[str, msgspec.Raw] = {}
    """Wire name -> value: what only `origin` understands. Toward another protocol each becomes a loss."""
