"""Sections of the configuration file that check nothing but themselves. In: nothing. Out: models for `settings`, which reads them. Times are seconds."""

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from trunkline.records.patterns import danger_of

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Hours = Annotated[float, Field(ge=0, le=8_760)]
Days = Annotated[float, Field(ge=0, le=3_650)]
Names = Annotated[tuple[str, ...], Field(strict=False)]
FilePath = Annotated[Path, Field(strict=False)]


class Section(BaseModel):
    """What all sections share: no key that we do not know, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, defer_build=True)


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
