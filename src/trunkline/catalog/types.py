"""The catalog's data: models, providers, and offers (a model at a provider).

Frozen; made by `catalog.load`, asked through `catalog.query`.
"""

from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec

PROTOCOLS = ("openai.chat", "openai.responses", "anthropic.messages", "gemini", "bedrock.converse")
"""Of providers; clients speak the first four."""

PARAMETERS = frozenset(
    # The seed's 14 ...
    {"max_completion_tokens", "temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "logit_bias"}
    | {"logprobs", "top_logprobs", "response_format", "stop", "tools", "tool_choice", "parallel_tool_calls"}
    # ... and what other models are told apart by. `max_tokens` is the older name of `max_completion_tokens`.
    | {"reasoning_effort", "reasoning", "verbosity", "n", "top_k", "min_p", "top_a", "repetition_penalty"}
    | {"web_search_options", "prediction", "modalities", "audio", "service_tier", "prompt_cache_key"}
    | {"structured_outputs"}
)
"""The vocabulary of supported parameters. A request field outside it is forwarded without a question."""

PRICE_ITEMS = (
    "prompt", "completion", "input_cache_read", "input_cache_write", "input_cache_write_5_min", "input_cache_write_1_h",
    "web_search", "internal_reasoning", "image", "audio", "video", "request",
)  # fmt: skip
PRICE_UNITS = ("perMTokens", "perCount", "perSecond")


class When(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a price line holds; an empty one always does. Bounds are on all tokens of the prompt, `gt` exclusive, `lte` inclusive."""

    prompt_tokens_gt: int | None = None
    prompt_tokens_lte: int | None = None
    service_tier: str | None = None
    utc_from: str | None = None
    """Start of a daily window, `HH:MM` UTC; with `utc_to`."""
    utc_to: str | None = None
    utc_days: str | None = None
    """ISO weekdays in UTC on which the line holds, e.g. `12345` from Monday to Friday."""


class PriceLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One price. `value` is USD per `unit`; the source is a URL or a package with version, `checked` an ISO date."""

    item: str
    unit: str
    value: Decimal
    when: When = When()
    valid_from: str | None = None
    valid_to: str | None = None
    source: str = ""
    checked: str = ""


class DataPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a provider does with prompts, for an ordinary account. None: the vendor does not say, or it was not found."""

    training: bool | None = None
    retention_days: int | None = None
    """0 is zero retention."""
    moderation: str = ""
    """Who answers for moderation, in words, e.g. `developer` or `provider`."""
    zdr: bool = False
    """The operator's own word: this account has a zero-retention agreement."""
    region: str = ""


class Deadlines(msgspec.Struct, frozen=True, omit_defaults=True):
    """Seconds. `first_event_s` counts from sent to the first event of a stream; an answer that is not streamed has `total_s` alone."""

    connect_s: float = 5.0
    first_event_s: float = 120.0
    idle_s: float = 60.0
    total_s: float = 900.0


class Provider(msgspec.Struct, frozen=True, omit_defaults=True):
    """A vendor, or a server of the operator's. How to reach it is data: `providers` turns it into requests."""

    slug: str
    name: str
    aliases: tuple[str, ...] = ()
    """Other gateways' names of it, by which callers may mean it."""
    base_urls: dict[str, str] = {}
    """Protocol -> base URL. May hold `{endpoint}`, `{region}`, ..., filled from `vars` and `variables` by `providers.urls`."""
    auth: str = ""
    """`bearer`, `header:NAME` (the key is that header's value, e.g. Azure's `header:api-key`), `query:NAME`, or `none`. Empty: as
    each protocol's own vendor has it, see `providers.accounts`."""
    auth_by: dict[str, str] = {}
    """Protocol -> the same, where it differs from `auth`."""
    key_env: tuple[str, ...] = ()
    """Variables that hold a key, the first one set wins. Empty: no key is needed."""
    accepts: str = ""
    """What else than a key opens it: `google` (a credential file), `aws` (an access key, with signed requests). See `providers.credential_files`."""
    variables: dict[str, str] = {}
    """Name in `base_urls` -> variable of the environment that fills it, e.g. {"endpoint": "AZURE_OPENAI_ENDPOINT"}."""
    vars: dict[str, str] = {}
    """Name in `base_urls` -> the operator's own value for it, e.g. {"region": "eu-west-1"}. Goes before `variables`."""
    headers: dict[str, str] = {}
    """Sent with every request, e.g. an api-version."""
    protocol_headers: dict[str, dict[str, str]] = {}
    """Protocol -> headers that only its requests have; they win over `headers`."""
    rename: dict[str, str] = {}
    """In `openai.chat` only: parameter of the client -> name that this vendor takes, e.g. {"max_completion_tokens": "max_tokens"}."""
    drop: tuple[str, ...] = ()
    """In `openai.chat` only: parameters that this vendor refuses although they are harmless to leave out, e.g. `store`."""
    quirks: dict[str, dict[str, Any]] = {}
    """Protocol -> fields of `protocols.codec.Quirks` that differ for all of its offers. They win over profiles."""
    data_policy: DataPolicy = DataPolicy()
    status_url: str = ""
    docs_url: str = ""
    profile: str = ""
    """A named set of quirks that needs code, e.g. `small-local`; see `execution`."""
    local: bool = False
    """Runs on this machine: reached without the guard against private addresses."""
    usage_in_stream: bool = True
    """Understands `stream_options.include_usage`."""


class Offer(msgspec.Struct, frozen=True, omit_defaults=True, dict=True):
    """A model at a provider. None for a limit means: as the model; `supported_parameters` None means: all."""

    model: str
    """The model's slug."""
    provider: str
    upstream_model: str
    protocols: tuple[str, ...]
    price: tuple[PriceLine, ...] = ()
    context_tokens: int | None = None
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    supported_parameters: tuple[str, ...] | None = None
    emulated_parameters: tuple[str, ...] = ()
    """Shown as supported, not sent: Trunkline does it on the answer (`stop` for OpenAI's reasoning models)."""
    rename: dict[str, str] = {}
    """As the provider's; wins over it."""
    quirks: dict[str, dict[str, Any]] = {}
    """As the provider's; wins over it."""
    input: tuple[str, ...] | None = None
    """Modalities taken in, where an offer has fewer than its model."""
    abortable: bool = False
    """Leaving the answer stops the provider's meter."""
    prefill: bool | str = False
    """Goes on with a given beginning of its answer: True where a last turn of the assistant is enough, else the vendor's way, in Chat:
    `prefix` (Mistral) and `partial` (Kimi) stand on the message, `continue_final_message` (vLLM) in the body. See `execution.rescue`."""
    deadlines: Deadlines = Deadlines()
    data_policy: DataPolicy | None = None
    deprecated_on: str | None = None
    shutdown_on: str | None = None
    simulated: bool = False

    @cached_property
    def id(self) -> str:
        """`author/model:provider`, the name that pins this offer."""
        return f"{self.model}:{self.provider}"


class Model(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model is, whoever serves it. Dates are ISO; `context_tokens` counts input and output together."""

    slug: str
    name: str
    author: str
    description: str = ""
    context_tokens: int = 0
    max_output_tokens: int = 0
    input: tuple[str, ...] = ("text",)
    output: tuple[str, ...] = ("text",)
    reasoning: bool = False
    released_on: str | None = None
    knowledge_cutoff: str | None = None
    deprecated_on: str | None = None
    replacement: str | None = None
    aliases: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a family of models differs from the rest of a protocol. What is empty matches all."""

    name: str
    quirks: dict[str, Any]
    """Fields of `protocols.codec.Quirks`."""
    models: tuple[str, ...] = ()
    """Shell patterns; one of them must match the model's slug or the provider's name of it."""
    providers: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    reasoning: bool | None = None
    """Only models that reason, or only those that do not."""


class Catalog(msgspec.Struct, frozen=True):
    """Everything that is known. `version` names the content (a digest), for records and answers."""

    version: str
    models: dict[str, Model]
    providers: dict[str, Provider]
    aliases: dict[str, str] = {}
    """Alias -> slug. An alias is matched before it is split at a colon."""
    profiles: tuple[Profile, ...] = ()
    """In rising order of their say."""
