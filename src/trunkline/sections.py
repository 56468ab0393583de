"""Sections of the configuration file that check nothing but themselves. In: nothing. Out: models for `settings`, which reads them. Times are seconds."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trunkline.records.patterns import danger_of

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Hours = Annotated[float, Field(ge=0, le=8_760)]
Days = Annotated[float, Field(ge=0, le=3_650)]
Names = Annotated[tuple[str, ...], Field(strict=False)]
Usd = Annotated[Decimal, Field(strict=False, ge=0, le=1_000_000_000, decimal_places=6)]
FilePath = Annotated[Path, Field(strict=False)]


class Section(BaseModel):
    """What all sections share: no key that we do not know, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, defer_build=True)


class StoreSettings(Section):
    """Where records, accounts and keys are kept, and what a gateway keeps beside the store."""

    url: str = Field("sqlite:///trunkline.db", repr=False)
    """Not shown: it may hold a password."""
    spool_dir: FilePath | None = None
    """Where records wait that the store does not take; None: beside the store."""
    spool_max_mb: int = Field(1_024, ge=0, le=1_048_576)
    """0: they wait in memory, and new requests wait with them."""
    secrets_file: FilePath | None = None
    """Of all gateways of a store the same; None: beside the store."""

    @field_validator("url")
    @classmethod
    def _url_is_of_a_store(cls, value: str) -> str:
        if value.startswith(("postgresql://", "postgres://", "env:", "file:")):
            return value
        path = value.removeprefix("sqlite:///")
        if path == value or path in ("", ":memory:") or set(path) & set("?#"):
            raise ValueError(
                'must be a SQLite file, "sqlite:///trunkline.db" or "sqlite:////absolute/path.db", or a database of '
                'PostgreSQL, "postgresql://user:password@host:5432/database"'
            )
        return value

    @property
    def is_postgres(self) -> bool:
        return self.url.startswith(("postgresql:", "postgres:"))

    @property
    def path(self) -> Path:
        """The SQLite file, absolute; a relative one counts from the working directory. With PostgreSQL: what the names of a gateway's own files
        begin with, there."""
        if self.is_postgres:
            return Path("trunkline").absolute()
        return Path(self.url.removeprefix("sqlite:///")).expanduser().absolute()

    @property
    def spool_path(self) -> Path:
        """The folder where records wait."""
        return self.spool_dir or self.path.with_name(self.path.name + ".spool")


class SharedSettings(Section):
    """Shared state of several processes (budgets, limits, affinity). One process keeps it in memory and needs none."""

    url: str | None = Field(None, repr=False)
    timeout_s: Annotated[float, Field(gt=0, le=10)] = 0.5
    """How long its answer is waited for; then it is away."""
    when_away: Literal["closed", "local"] = "closed"
    """What becomes of requests with limits while it is: `closed` refuses those with a budget, `local` counts in each process by itself."""

    @field_validator("url")
    @classmethod
    def _url_is_of_redis(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://", "env:", "file:")):
            raise ValueError('must be the address of Redis or Valkey, such as "redis://127.0.0.1:6379/0"')
        return value


class ProbeSettings(Section):
    """Small requests of our own to offers that had no traffic for `every_s`, for at most so much a day."""

    every_s: Annotated[float, Field(ge=10, le=86_400)] = 300.0
    budget_usd_per_day: Annotated[float, Field(ge=0, le=1_000)] = 0.1


class EmbeddedSettings(Section):
    """The local model. `cache_dir` is where weights are kept; None in the file means the user's cache."""

    enabled: bool = True
    idle_stop_s: Seconds = 600.0
    cache_dir: FilePath | None = None


class DetectSettings(Section):
    """Servers that already run on this machine."""

    local_servers: bool = True


class PagesSettings(Section):
    """Whether pages are shown to everyone who reaches the port. None: see `Settings.pages_public`."""

    public: bool | None = None


class MetricsSettings(Section):
    """Whether `/metrics` is told to everyone who reaches the port. On this machine alone it is in any case."""

    public: bool = False


class TelemetrySettings(Section):
    """Where traces go, by OTLP over HTTP. None: nowhere, and nothing is made of them."""

    otlp_endpoint: str | None = None

    @field_validator("otlp_endpoint")
    @classmethod
    def _endpoint_is_web(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://none")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError('must be the address of a collector, such as "http://127.0.0.1:4318"')
        return value


class OidcSettings(Section):
    """A provider of accounts (OpenID Connect) with which people sign in to the pages; `client_secret`, resolved, is empty for a public client."""

    issuer: str
    client_id: str = Field(min_length=1)
    client_secret: str = Field("", repr=False)
    name: str = Field("your organisation's account", min_length=1, max_length=60)
    """On the button: "Sign in with ..."."""
    allowed_domains: Names = ()
    """Whoever has a verified address in one of these joins at the first sign-in; others need an invitation."""
    admin_emails: Names = ()
    """Those who join so are administrators."""
    organisation: str = "org_default"
    """The id of that which they join."""

    @field_validator("issuer")
    @classmethod
    def _issuer_is_web(cls, value: str) -> str:
        parts = urlsplit(value)
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if (
            not parts.netloc
            or parts.query
            or parts.fragment
            or not (parts.scheme == "https" or (parts.scheme == "http" and local))
        ):
            raise ValueError(
                'must be the issuer\'s address, such as "https://login.example.com"; without TLS on this machine alone'
            )
        return value

    @field_validator("allowed_domains", "admin_emails")
    @classmethod
    def _in_lower_case(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(item.strip().lower().removeprefix("@") for item in value)


class AlertsSettings(Section):
    """Whom to tell of budgets and credits that run out, providers that are down and models without a price. Nobody, as long as neither an address
    of the web nor one of mail is given."""

    webhook_url: str | None = None
    webhook_secret: str = Field("", repr=False)
    """Signs what is sent (HMAC-SHA256)."""
    email_to: Names = ()
    email_from: str = "trunkline@localhost"
    smtp_url: str | None = Field(None, repr=False)
    """`smtp://user:password@host:587` (with STARTTLS where the server has it; `?starttls=always` demands it, `never` does without) or `smtps://host:465`."""
    every_s: Annotated[float, Field(ge=0.05, le=3_600)] = 30.0
    """How often it is looked."""
    budgets: bool = True
    outages: bool = True
    unpriced: bool = True
    low_credits_usd: Usd | None = None
    """A prepaid organisation that has less left is told of. None: none is, but those of `low_credits_of`."""
    low_credits_of: Mapping[str, Usd] = {}
    """Organisation -> the same for it alone."""

    @field_validator("webhook_url")
    @classmethod
    def _webhook_is_web(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://none")
        if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc or parts.fragment:
            raise ValueError(
                'must be an address such as "https://example.com/hooks/trunkline", without a name and a password'
            )
        return value

    @field_validator("smtp_url")
    @classmethod
    def _smtp_is_a_server(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("smtp://", "smtps://", "env:", "file:")):
            raise ValueError('must be the address of a mail server, such as "smtp://mail.example.com:587"')
        return value

    @model_validator(mode="after")
    def _mail_needs_a_server(self) -> "AlertsSettings":
        if self.email_to and self.smtp_url is None:
            raise ValueError("email_to needs smtp_url; set it, or take email_to out")
        if self.webhook_url and not self.webhook_secret:
            raise ValueError('webhook_url needs webhook_secret; set it to "env:NAME" or a secret of your own')
        return self

    @property
    def is_on(self) -> bool:
        """Whether there is anybody to tell."""
        return self.webhook_url is not None or bool(self.email_to)

    def with_secrets(self, resolve: Callable[[str, str], str]) -> "AlertsSettings":
        """The same with what `env:NAME` and `file:PATH` stand for. `resolve` is given the key and its text."""
        told = {name: getattr(self, name) for name in ("webhook_secret", "smtp_url")}
        return self.model_copy(update={name: resolve(name, text) for name, text in told.items() if text})


class CaptureRule(Section):
    """Text that no captured body keeps."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9 ._-]{1,40}$")]
    pattern: str = Field(min_length=1)

    @field_validator("pattern")
    @classmethod
    def _pattern_is_one(cls, value: str) -> str:
        try:
            found = re.compile(value)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        if found.match(""):
            raise ValueError("must not match nothing at all")
        danger = danger_of(value)
        if danger:
            raise ValueError(danger)
        return value


class CaptureSettings(Section):
    """Whether bodies of requests and answers are kept, for the pages of the logs. Never those of keys with zero retention."""

    bodies: Literal["off", "metadata", "full"] = "off"
    max_bytes: int = Field(256 * 1024, ge=1_024, le=16 * 1024 * 1024)
    days: Annotated[float, Field(ge=1, le=3_650)] = 7.0
    redact: Annotated[tuple[Literal["keys", "cards", "emails"], ...], Field(strict=False)] = ("keys", "cards")
    rules: Annotated[tuple[CaptureRule, ...], Field(strict=False)] = ()


class LimitsSettings(Section):
    """What a request may cost at most, where its key has a budget: of what has no bound of its own. A price of None: such requests are refused."""

    least_output_tokens: int = Field(256, ge=1, le=100_000)
    """An answer's limit is made lower where a budget holds no more, but not lower than this."""
    image_tokens: int = Field(50_000, ge=1, le=10_000_000)
    """That a picture counts as, at most."""
    tool_usd: Annotated[float | None, Field(ge=0, le=10_000)] = None
    """For each tool that the provider runs (web search, code, files), with all that it reads, in one request."""
    document_usd: Annotated[float | None, Field(ge=0, le=10_000)] = None
    """For each document, sound or film that is given by its address."""


class RoutingSettings(Section):
    """What is done where a request does not say so itself. Models are named as callers name them."""

    fallback_model: str = ""
    """Answers where the model that was asked for cannot, unless the request names fallbacks of its own, wants none, or
    pins a provider."""
    auto_models: Names = ()
    """What `trunkline/auto` chooses from; empty: every model that can be called."""
    spread: bool = True
    """False: each request goes to the best offer first, and none goes to another one to learn how good that is."""
    conversations: int = Field(50_000, ge=1, le=10_000_000)
    """Of so many is remembered which provider holds their cache; some 250 bytes each."""
    probes: ProbeSettings | None = None
    """None: nothing is asked of providers that no caller asks for."""
