"""What people may write about models and providers, checked.

In: a parsed TOML or JSON table and the name of its file. Out: a `CatalogLayer`, in which only what was written is set, or a
`ConfigError` that names each fault by file and key, with its mend. A later layer may leave everything out but the names.
"""

import datetime
import difflib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator

from trunkline.catalog.credentials import OF_THE_CONNECTION, fault_of_header, names_a_secret
from trunkline.catalog.quirks_schema import ProtocolName, QuirksLayer
from trunkline.catalog.types import PARAMETERS, PRICE_ITEMS, PRICE_UNITS
from trunkline.errors import ConfigError

RESERVED_AUTHORS = frozenset({"v1", "v1beta", "api", "platform", "providers", "models", "status", "static"})
"""First segments of the gateway's own paths; a model page is `/{author}/{model}`."""

_OTHER_WORDS = {"max_tokens": "max_completion_tokens"}
"""Older names of the same parameter, as other catalogs write them."""
_ALWAYS_FORWARDED = ("messages", "metadata", "model", "safety_identifier", "store", "stream", "stream_options", "user")
"""Fields that other catalogs list as parameters too. They are no matter of support here: they always go on."""
_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._:@/+-]*")
_PROVIDER = re.compile(r"[a-z0-9][a-z0-9_-]*")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_AUTH = re.compile(r"bearer|none|(header|query):[A-Za-z0-9_-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _exact(value: object) -> object:
    """A price as it was typed: `repr` of a float is the shortest text that means it, so 1.1 stays 1.1."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise ValueError('must be a number in quotes, e.g. "1.10"')
    try:
        number = Decimal(repr(value) if isinstance(value, float) else str(value).strip())
    except ArithmeticError:
        raise ValueError('must be a number in quotes, e.g. "1.10"') from None
    if not number.is_finite() or number < 0:
        raise ValueError("must be zero or more")
    return number


def _iso_date(value: object) -> object:
    """A TOML date or an ISO text; "" takes an earlier layer's date away."""
    if value == "":
        return None
    if isinstance(value, datetime.date):
        return value.isoformat()[:10]
    try:
        return datetime.date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise ValueError('must be a date such as "2026-04-16", or "" for none') from None


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _for_all_protocols(value: object) -> object:
    return {"default": value} if isinstance(value, str) else value


def _clock(value: str) -> str:
    if not _CLOCK.fullmatch(value):
        raise ValueError('must be a time of day in UTC such as "16:30"')
    return value


def _web_address(value: str) -> str:
    if not re.match(r"https?://[^/\s?#]+|\{[a-z_]+\}", value):
        raise ValueError("must be a URL that begins with http:// or https://")
    return value.rstrip("/")


def _link(value: object) -> object:
    """Pages lead there, so that nothing else than a web page may stand there."""
    if isinstance(value, str) and value and not re.match(r"https?://[^/\s?#]+", value):
        raise ValueError("must be a web page that begins with http:// or https://")
    return value


AuthKey = Literal["default", "openai.chat", "openai.responses", "anthropic.messages", "gemini"]
Modality = Literal["text", "image", "audio", "video", "file"]
IsoDate = Annotated[str | None, BeforeValidator(_iso_date)]
Usd = Annotated[Decimal, BeforeValidator(_exact)]
Tokens = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
Url = Annotated[str, BeforeValidator(lambda value: _web_address(value) if isinstance(value, str) else value)]
Link = Annotated[str, BeforeValidator(_link)]
Clock = Annotated[str, BeforeValidator(lambda value: _clock(value) if isinstance(value, str) else value)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, defer_build=True)


class WhenLayer(_Part):
    prompt_tokens_gt: int | None = Field(default=None, ge=0)
    prompt_tokens_lte: int | None = Field(default=None, gt=0)
    service_tier: str | None = None
    utc_from: Clock | None = None
    utc_to: Clock | None = None
    utc_days: str | None = Field(default=None, pattern=r"^[1-7]+$")


class PriceLayer(_Part):
    item: str
    unit: str
    value: Usd
    when: WhenLayer = WhenLayer()
    valid_from: IsoDate = None
    valid_to: IsoDate = None
    source: str = ""
    checked: IsoDate = None

    @field_validator("item")
    @classmethod
    def _known_item(cls, value: str) -> str:
        return _one_of(value, PRICE_ITEMS)

    @field_validator("unit")
    @classmethod
    def _known_unit(cls, value: str) -> str:
        return _one_of(value, PRICE_UNITS)


class PolicyLayer(_Part):
    training: bool | None = None
    retention_days: int | None = Field(default=None, ge=0)
    moderation: str = ""
    zdr: bool = False
    region: str = ""


class DeadlinesLayer(_Part):
    connect_s: Seconds = 5.0
    first_event_s: Seconds = 120.0
    idle_s: Seconds = 60.0
    total_s: Seconds = 900.0


class OfferLayer(_Part):
    """An offer is known by its model and `provider`; a price that is given takes the place of the earlier list."""

    provider: str
    enabled: bool = True
    upstream_model: str = ""
    protocols: list[ProtocolName] = Field(default=[], min_length=1)
    price: list[PriceLayer] = []
    context_tokens: Tokens | None = None
    max_input_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None
    supported_parameters: list[str] | None = None
    emulated_parameters: list[str] = []
    rename: dict[str, str] = {}
    quirks: dict[ProtocolName, QuirksLayer] = {}
    input: list[Modality] | None = None
    abortable: bool = False
    prefill: bool | Literal["prefix", "partial", "continue_final_message"] = False
    deadlines: DeadlinesLayer = DeadlinesLayer()
    data_policy: PolicyLayer | None = None
    deprecated_on: IsoDate = None
    shutdown_on: IsoDate = None
    simulated: bool = False

    @field_validator("supported_parameters", "emulated_parameters")
    @classmethod
    def _known_parameters(cls, value: list[str] | None) -> list[str] | None:
        if value is None:
            return None
        words = [_OTHER_WORDS.get(name, name) for name in value]
        for name in words:
            _one_of(name, [*sorted(PARAMETERS), *_ALWAYS_FORWARDED])
        return [name for name in dict.fromkeys(words) if name in PARAMETERS]


class ModelLayer(_Part):
    slug: str
    enabled: bool = True
    name: str = ""
    description: str = ""
    context_tokens: Tokens = 0
    max_output_tokens: Tokens = 0
    input: list[Modality] = ["text"]
    output: list[Modality] = ["text"]
    reasoning: bool = False
    released_on: IsoDate = None
    knowledge_cutoff: str | None = None
    deprecated_on: IsoDate = None
    replacement: str | None = None
    aliases: list[str] = []
    offers: list[OfferLayer] = []

    @field_validator("slug")
    @classmethod
    def _usable_slug(cls, value: str) -> str:
        if not _SLUG.fullmatch(value):
            raise ValueError('must be "author/model", the author in small letters, e.g. "acme/alpha"')
        author = value.split("/")[0]
        if author in RESERVED_AUTHORS:
            raise ValueError(f"the author {author!r} is a path of the gateway itself: take another one")
        return value


class ProviderLayer(_Part):
    """How to reach a provider. Secrets stay as written (`env:NAME`, `file:PATH` or literal): settings resolve them."""

    name: str = ""
    enabled: bool = True
    aliases: list[str] = []
    base_url: Url | None = None
    base_urls: dict[ProtocolName, Url] = {}
    auth: Annotated[dict[AuthKey, str], BeforeValidator(_for_all_protocols)] = {}
    api_key: SecretStr | None = None
    api_keys: list[SecretStr] = []
    key_env: Annotated[list[str], BeforeValidator(_one_or_more)] = []
    accepts: Literal["", "google", "aws"] = ""
    credentials: str | None = None
    variables: dict[str, str] = {}
    resource: str | None = None
    endpoint: Url | None = None
    api_version: str | None = None
    project: str | None = None
    location: str | None = None
    region: str | None = None
    headers: dict[str, str] = {}
    protocol_headers: dict[ProtocolName, dict[str, str]] = {}
    rename: dict[str, str] = {}
    drop: list[str] = []
    quirks: dict[ProtocolName, QuirksLayer] = {}
    data_policy: PolicyLayer = PolicyLayer()
    zdr: bool = False
    status_url: Link = ""
    docs_url: Link = ""
    profile: str = ""
    local: bool = False
    usage_in_stream: bool = True

    @field_validator("auth")
    @classmethod
    def _known_auth(cls, value: dict[str, str]) -> dict[str, str]:
        for word in value.values():
            if not _AUTH.fullmatch(word):
                raise ValueError(
                    'must be "bearer", "header:NAME", "query:NAME" or "none", or a table of them by protocol'
                )
            if word.removeprefix("header:").lower() in OF_THE_CONNECTION:
                raise ValueError(
                    "names a header that the gateway writes itself: take the one in which the provider wants its key"
                )
        return value

    @field_validator("key_env")
    @classmethod
    def _variable_names(cls, value: list[str]) -> list[str]:
        if not all(_VARIABLE.fullmatch(name) for name in value):
            raise ValueError('names variables of the environment, e.g. "ACME_KEY"; a key itself belongs in `api_key`')
        return value

    @field_validator("headers")
    @classmethod
    def _plain_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for fault in (fault_of_header(name, text) for name, text in value.items()):
            if fault:
                raise ValueError(fault)
        return value

    @field_validator("protocol_headers")
    @classmethod
    def _plain_protocol_headers(cls, value: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for headers in value.values():
            cls._plain_headers(headers)
            if any(names_a_secret(text) for text in headers.values()):
                raise ValueError("takes plain values only: put a header with a secret into `headers`")
        return value

    def keys(self) -> tuple[SecretStr, ...]:
        """`api_key` and `api_keys` together, as written."""
        return (*([self.api_key] if self.api_key is not None else []), *self.api_keys)


class ProfileLayer(_Part):
    """See `types.Profile`."""

    name: str
    models: list[str] = []
    providers: list[str] = []
    protocols: list[ProtocolName] = []
    reasoning: bool | None = None
    quirks: QuirksLayer


class CatalogLayer(_Part):
    """One file's say. `where` names the file; `downloaded` layers may not say how a provider is reached."""

    profiles: list[ProfileLayer] = []
    providers: dict[str, ProviderLayer] = {}
    models: list[ModelLayer] = []
    where: str = ""

    @field_validator("providers")
    @classmethod
    def _usable_names(cls, value: dict[str, ProviderLayer]) -> dict[str, ProviderLayer]:
        for slug in value:
            if not _PROVIDER.fullmatch(slug):
                raise ValueError(f'{slug!r} is no provider name: take small letters, digits, "-" and "_"')
        return value


def parse_layer(raw: Mapping[str, Any], where: str) -> CatalogLayer:
    """Checks the tables `providers` and `models` of a file. Raises `ConfigError` with every fault found."""
    try:
        layer = CatalogLayer.model_validate(dict(raw))
    except ValidationError as error:
        faults = [_fault(detail, raw) for detail in error.errors(include_url=False, include_input=False)]
        raise _as_config_error(faults, where) from None
    return layer.model_copy(update={"where": where})


def _one_of(value: str, known: Sequence[str]) -> str:
    if value in known:
        return value
    near = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "known are " + ", ".join(known)
    raise ValueError(f"{value!r} is not known: {hint}")


def _as_config_error(faults: list[tuple[str, str]], where: str) -> ConfigError:
    if len(faults) == 1:
        key, message = faults[0]
        return ConfigError(message, where=f"{where}: {key}")
    lines = "".join(f"\n  {key}: {message}" for key, message in faults)
    return ConfigError(f"{len(faults)} faults:{lines}", where=where)


def _fault(detail: Any, raw: Mapping[str, Any]) -> tuple[str, str]:
    place = detail["loc"]
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _key_path(place, raw), _unknown_key(place)
    if kind == "missing":
        return _key_path(place, raw), "is missing: add it"
    message = detail["msg"].removeprefix("Value error, ")
    return _key_path(place, raw), message[0].lower() + message[1:]


_KNOWN_KEYS: tuple[tuple[str, type[BaseModel]], ...] = (
    (r"(?:providers\.[^.]+|models\.\d+\.offers\.\d+)\.quirks\..+|profiles\.\d+\.quirks", QuirksLayer),
    (r"profiles\.\d+", ProfileLayer),
    (r"providers\.[^.]+\.data_policy", PolicyLayer),
    (r"providers\.[^.]+", ProviderLayer),
    (r"models\.\d+\.offers\.\d+\.price\.\d+\.when", WhenLayer),
    (r"models\.\d+\.offers\.\d+\.price\.\d+", PriceLayer),
    (r"models\.\d+\.offers\.\d+\.data_policy", PolicyLayer),
    (r"models\.\d+\.offers\.\d+\.deadlines", DeadlinesLayer),
    (r"models\.\d+\.offers\.\d+", OfferLayer),
    (r"models\.\d+", ModelLayer),
    (r"", CatalogLayer),
)


def _unknown_key(place: tuple[int | str, ...]) -> str:
    parent = ".".join(str(step) for step in place[:-1])
    part = next(part for pattern, part in _KNOWN_KEYS if re.fullmatch(pattern, parent))
    known = [field.alias or name for name, field in part.model_fields.items() if name != "where"]
    near = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
    return f"unknown key: did you mean `{near[0]}`?" if near else "unknown key: known are " + ", ".join(known)


def _key_path(place: tuple[int | str, ...], raw: Any) -> str:
    """`models["acme/alpha"].offers["azure"].price[0].value`: an element by its name, where it has one."""
    path = ""
    for step in place:
        raw = _step(raw, step)
        if isinstance(step, int):
            name = raw.get("slug") or raw.get("provider") if isinstance(raw, Mapping) else None
            path += f'["{name}"]' if isinstance(name, str) else f"[{step}]"
        else:
            path += f".{step}" if path else step
    return path


def _step(raw: Any, step: int | str) -> Any:
    if isinstance(step, int):
        return raw[step] if isinstance(raw, Sequence) and step < len(raw) else None
    return raw.get(step) if isinstance(raw, Mapping) else None
