"""Settings: one frozen `Settings` from `trunkline.toml` and the environment. The only file that reads `os.environ`.

In: a path and a mapping of variables. Out: `Settings`, or one `ConfigError` that lists every fault with file, key and
what mends it.
Secrets are written as `env:NAME`, `file:PATH` or the value itself; they are resolved here and never shown by a repr or
an error.
"""

import contextlib
import difflib
import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeGuard, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from trunkline.catalog.credentials import fault_of_key, names_a_secret
from trunkline.catalog.load import overlay_layers
from trunkline.catalog.schema import CatalogLayer, ProviderLayer, parse_layer
from trunkline.errors import ConfigError
from trunkline.sections import (
    AlertsSettings,
    CaptureSettings,
    Days,
    DetectSettings,
    EmbeddedSettings,
    FilePath,
    Hours,
    LimitsSettings,
    MetricsSettings,
    Names,
    OidcSettings,
    PagesSettings,
    RoutingSettings,
    Seconds,
    SharedSettings,
    StoreSettings,
    TelemetrySettings,
)
from trunkline.sections import Section as _Section

DEFAULT_FILE = Path("trunkline.toml")

_CATALOG_KEYS = ("providers", "models", "profiles")
"""Parts of the file that `catalog.schema` checks."""
OVERRIDES = {
    "TRUNKLINE_HOST": ("server", "host"),
    "TRUNKLINE_PORT": ("server", "port"),
    "TRUNKLINE_STORE_URL": ("store", "url"),
}
"""Variables that win over the file. `TRUNKLINE_CONFIG` names the file itself."""


class ServerSettings(_Section):
    """Where the gateway listens, and whom it believes."""

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8080, ge=0, le=65_535)
    tls_cert: FilePath | None = None
    tls_key: FilePath | None = None
    public_url: str | None = None
    trusted_proxies: Names = ()
    cors_origins: Names = ()
    max_body_bytes: int = Field(32 * 1024 * 1024, ge=1_024)
    drain_s: Seconds = 30.0
    pre_stop_s: Seconds = 0.0

    @field_validator("public_url")
    @classmethod
    def _public_url_is_web(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            raise ValueError('must be an address such as "https://llm.example.com"')
        return value.rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            if not _is_network(item):
                raise ValueError('must hold addresses or networks, such as "10.0.0.0/8"')
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_bare(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            if not _is_origin(item):
                raise ValueError('must hold "*" or origins without a path, such as "https://app.example.com"')
        return value

    @model_validator(mode="after")
    def _tls_is_a_pair(self) -> "ServerSettings":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("needs tls_cert and tls_key together; set the missing one or take both out")
        for path in (self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise ValueError(f"names {path}, which is no file; correct the path")
        if self.tls_cert is not None and self.tls_key is not None:
            _try_certificate(self.tls_cert, self.tls_key)
        return self


class AuthSettings(_Section):
    """The master key, resolved; None means that one is made and kept in the secrets file."""

    master_key: str | None = Field(None, repr=False)
    oidc: OidcSettings | None = None
    """None: people sign in with a password or the master key."""


class GatewaySettings(_Section):
    """How requests are treated where they do not say so themselves."""

    include_cost: bool = True
    keepalive_s: Seconds = 10.0
    require_parameters: bool = False
    drain_cap_s: Seconds = 30.0
    """How long an answer is read on for its usage after its client left, where leaving does not stop the provider's
    meter."""
    response_days: Days = 30.0
    """How long responses are stored for later requests; 0: not at all."""
    state_days: Days = 30.0
    """How long state behind the ids of tool calls is stored; 0: in memory only."""
    idempotency_hours: Hours = 24.0
    """How long an answer is kept for requests that come again with its `Idempotency-Key`; 0: the header is not looked at."""
    idempotency_max_bytes: int = Field(4 * 1024 * 1024, ge=1_024, le=32 * 1024 * 1024)
    """Larger answers are not kept for them."""


class _File(_Section):
    """What a file may hold, but for `providers` and `models`: these go to `catalog.schema`."""

    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    auth: AuthSettings = AuthSettings()
    shared: SharedSettings = SharedSettings()
    gateway: GatewaySettings = GatewaySettings()
    routing: RoutingSettings = RoutingSettings()
    limits: LimitsSettings = LimitsSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    detect: DetectSettings = DetectSettings()
    pages: PagesSettings = PagesSettings()
    metrics: MetricsSettings = MetricsSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    capture: CaptureSettings = CaptureSettings()
    alerts: AlertsSettings = AlertsSettings()


NEEDS_START: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "server": ("host", "port", "tls_cert", "tls_key", "trusted_proxies", "drain_s", "pre_stop_s"),
        "store": ("url", "spool_dir", "spool_max_mb", "secrets_file"),
        "shared": ("url", "timeout_s", "when_away"),
        "telemetry": ("otlp_endpoint",),
        "embedded": ("idle_stop_s", "cache_dir"),
    }
)
"""Section -> keys that a running gateway does not take over; everything else it does."""


@dataclass(frozen=True)
class Settings:
    """Everything the operator decided. Lives as long as the process, or until a reload puts a new one in its place."""

    path: Path | None
    """The file it came from."""
    server: ServerSettings
    store: StoreSettings
    auth: AuthSettings
    shared: SharedSettings
    gateway: GatewaySettings
    routing: RoutingSettings
    limits: LimitsSettings
    embedded: EmbeddedSettings
    detect: DetectSettings
    pages: PagesSettings
    metrics: MetricsSettings
    telemetry: TelemetrySettings
    capture: CaptureSettings
    alerts: AlertsSettings
    catalog_layer: CatalogLayer
    """Models and providers of the file itself."""
    overlays: tuple[CatalogLayer, ...]
    """`catalog.d/*.toml`, weaker than the file."""
    provider_keys: Mapping[str, tuple[str, ...]] = field(repr=False)
    """Provider -> its keys from the file, resolved. Keys from the usual variables are not here: see `Provider.key_env`
    and `env`."""
    provider_headers: Mapping[str, Mapping[str, str]] = field(repr=False)
    """Provider -> the headers that the operator wrote for it, secrets in them resolved."""
    env: Mapping[str, str] = field(repr=False)
    """The environment as it was found. Never shown."""

    @property
    def cache_dir(self) -> Path:
        """Where downloaded things are kept: `[embedded] cache_dir`, `$TRUNKLINE_CACHE`, or `trunkline` in the user's
        cache."""
        if self.embedded.cache_dir is not None:
            return self.embedded.cache_dir
        if self.env.get("TRUNKLINE_CACHE"):
            return Path(self.env["TRUNKLINE_CACHE"])
        home = Path(self.env.get("HOME") or Path.home())
        return Path(self.env.get("XDG_CACHE_HOME") or home / ".cache") / "trunkline"

    @property
    def downloaded_catalog(self) -> Path:
        """Where `trunkline catalog fetch` keeps its layer."""
        return self.cache_dir / "catalog.toml"

    @property
    def secrets_path(self) -> Path:
        """Pepper and master key: `[store] secrets_file`, or a file beside the store."""
        return self.store.secrets_file or self.store.path.with_name(self.store.path.name + ".secrets")

    @property
    def pid_path(self) -> Path:
        """Held locked by the running `serve`, beside the store."""
        return self.store.path.with_name(self.store.path.name + ".pid")

    @property
    def overlay_dir(self) -> Path | None:
        """`catalog.d` beside the file, where there is one."""
        return _overlay_dir(self.path)

    @property
    def own_layers(self) -> tuple[CatalogLayer, ...]:
        """All that the operator wrote about models and providers, the strongest last."""
        return (*self.overlays, self.catalog_layer)

    @property
    def is_alone(self) -> bool:
        """Whether nobody but this machine reaches the gateway, as far as the settings tell: it listens on loopback, and no proxy is
        in front."""
        return _is_loopback(self.server.host) and self.server.public_url is None and not self.server.trusted_proxies

    @property
    def pages_public(self) -> bool:
        """Whether pages of models, providers and status are shown to whoever asks: as `[pages] public` says, else on this machine
        alone."""
        return self.is_alone if self.pages.public is None else self.pages.public

    @property
    def address(self) -> str:
        """The address to give to clients, without a path."""
        return self.server.public_url or self.local_address

    @property
    def local_address(self) -> str:
        """The address at which this machine reaches the gateway."""
        scheme = "https" if self.server.tls_cert else "http"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.server.host, self.server.host)  # noqa: S104 - shown, not bound
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.server.port}"


def load_settings(path: Path | None = None, env: Mapping[str, str] | None = None) -> Settings:
    """Read the file (given, `$TRUNKLINE_CONFIG`, or ./trunkline.toml if there) and the environment. Raises ConfigError
    with all faults."""
    environment = MappingProxyType(dict(os.environ if env is None else env))
    path = path or _file_of(environment)
    faults: list[str] = []
    raw = _read(path) if path else {}
    layer = _layer(raw, str(path or "trunkline.toml"), faults)
    file = _validated(raw, path, environment, faults)
    auth = _resolved_auth(file.auth, environment, f"{path}: auth.master_key", faults)
    store = _resolved_store(file.store, environment, f"{path}: store.url", faults)
    alerts = file.alerts.with_secrets(lambda key, text: _resolved(text, environment, f"{path}: alerts.{key}", faults))
    overlays = tuple(_overlays(path, faults))
    own = (*overlays, layer)
    keys = _provider_keys(own, environment, faults)
    headers = _provider_headers(own, environment, faults)
    if faults:
        raise _config_error(faults)
    sections = {name: getattr(file, name) for name in _File.model_fields if name not in ("auth", "store", "alerts")}
    return Settings(
        path=path,
        auth=auth,
        alerts=alerts,
        store=store,
        catalog_layer=layer,
        overlays=overlays,
        provider_keys=keys,
        provider_headers=headers,
        env=environment,
        **sections,
    )


def with_address(settings: Settings, host: str | None = None, port: int | None = None) -> Settings:
    """The same settings, listening elsewhere: what `--host` and `--port` mean."""
    changed = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    return replace(settings, server=settings.server.model_copy(update=changed))


def keys_for_next_start(running: Settings, changed: Settings) -> tuple[str, ...]:
    """The changed keys that a running gateway does not take over, as `section.key`."""
    return tuple(
        f"{section}.{key}"
        for section, keys in NEEDS_START.items()
        for key in keys
        if getattr(getattr(running, section), key) != getattr(getattr(changed, section), key)
    )


def taken_over(running: Settings, changed: Settings) -> Settings:
    """The changed settings, but for what only a new start changes: that stays as it runs."""
    sections = {
        section: getattr(changed, section).model_copy(
            update={key: getattr(getattr(running, section), key) for key in keys}
        )
        for section, keys in NEEDS_START.items()
    }
    return replace(changed, **sections)


def resolve_secret(text: str, env: Mapping[str, str], where: str) -> str:
    """The secret that `env:NAME`, `file:PATH` or the text itself stands for. Raises ConfigError naming `where` and the
    mend."""
    kind, colon, name = text.partition(":")
    if colon and kind == "env":
        secret, mend = env.get(name, ""), f"the variable {name} is not set or empty; set it, or take the key out"
    elif colon and kind == "file":
        secret, mend = _secret_of_file(Path(name)), f"the file {name} is empty or cannot be read; put the secret in"
    else:
        secret, mend = text, 'is empty; write "env:NAME", "file:PATH" or the secret itself, or take the key out'
    secret = secret.strip()
    if not secret:
        raise ConfigError(mend, where=where)
    fault = fault_of_key(secret)
    if fault:
        raise ConfigError(fault, where=where)
    return secret


def _secret_of_file(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _file_of(env: Mapping[str, str]) -> Path | None:
    named = env.get("TRUNKLINE_CONFIG")
    if named and not Path(named).is_file():
        raise ConfigError(
            f"names {named}, which is no file; correct the path or unset the variable", where="TRUNKLINE_CONFIG"
        )
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError("there is no such file; correct the path after --config", where=str(path)) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}; check its owner and mode", where=str(path)) from None
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text; save it as UTF-8", where=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not valid TOML: {error}; correct that line", where=str(path)) from None


def _layer(raw: dict[str, Any], where: str, faults: list[str]) -> CatalogLayer:
    part: dict[str, Any] = {key: value for key, value in raw.items() if key in _CATALOG_KEYS}
    try:
        return parse_layer(part, where)
    except ConfigError as error:
        faults.append(str(error))
    # What is left is only looked through for secrets that are missing, so that these are told in the same go.
    with contextlib.suppress(ConfigError):
        return parse_layer({"providers": part.get("providers", {})}, where)
    return parse_layer({}, where)


def _validated(raw: dict[str, Any], path: Path | None, env: Mapping[str, str], faults: list[str]) -> _File:
    part = {key: value for key, value in raw.items() if key not in _CATALOG_KEYS}
    overrides = {OVERRIDES[name]: name for name in OVERRIDES if env.get(name)}
    for (section, key), name in overrides.items():
        if isinstance(part.get(section, {}), dict):
            part[section] = {**part.get(section, {}), key: _number_or_text(env[name])}
    try:
        return _File.model_validate(part)
    except ValidationError as error:
        faults += [_fault(dict(item), path, overrides) for item in error.errors(include_url=False, include_input=False)]
        bad = {item["loc"][0] for item in error.errors()}
        return _File.model_validate({key: value for key, value in part.items() if key not in bad})


def _number_or_text(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() else text


WORDS = {
    "bool_type": "must be true or false",
    "int_type": "must be a whole number without quotes",
    "float_type": "must be a number without quotes",
    "string_type": "must be text in quotes",
    "tuple_type": 'must be a list such as ["..."]',
    "path_type": "must be a path in quotes",
    "model_type": "must be a section of its own, with keys below it",
    "string_too_short": "must not be empty",
}
"""pydantic's error types in our words: what the key must be, which is at once the mend."""


def _fault(item: dict[str, Any], path: Path | None, overrides: Mapping[tuple[str, str], str]) -> str:
    location = tuple(item["loc"])
    where = overrides.get(location[:2]) or f"{path}: {_dotted(location)}"
    if item["type"] == "extra_forbidden":
        return f"{where}: {_unknown(location)}"
    if item["type"] == "value_error":
        return f"{where}: {item['ctx']['error']}"
    words = WORDS.get(item["type"], item["msg"].replace("Input should be", "must be"))
    return f"{where}: {words}; correct it or take it out"


def _dotted(location: tuple[str | int, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _unknown(location: tuple[str | int, ...]) -> str:
    known, fields = [*_File.model_fields, *_CATALOG_KEYS], _File.model_fields
    for part in location[:-1]:
        annotation = fields[str(part)].annotation if str(part) in fields else None
        fields = next((one.model_fields for one in (annotation, *get_args(annotation)) if _is_section(one)), {})
        known = list(fields)
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    mend = f"did you mean {near[0]}?" if near else f"take it out; known here: {', '.join(sorted(known))}"
    return f"there is no such setting; {mend}"


def _is_section(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _resolved_auth(auth: AuthSettings, env: Mapping[str, str], where: str, faults: list[str]) -> AuthSettings:
    changed: dict[str, Any] = {}
    if auth.master_key is not None:
        changed["master_key"] = _resolved(auth.master_key, env, where, faults)
    if auth.oidc is not None and auth.oidc.client_secret:
        place = where.replace("master_key", "oidc.client_secret")
        secret = _resolved(auth.oidc.client_secret, env, place, faults)
        changed["oidc"] = auth.oidc.model_copy(update={"client_secret": secret})
    return auth.model_copy(update=changed) if changed else auth


def _resolved_store(store: StoreSettings, env: Mapping[str, str], where: str, faults: list[str]) -> StoreSettings:
    if not names_a_secret(store.url):
        return store
    url = _resolved(store.url, env, where, faults)
    try:
        # As if it stood there; what is wrong with it is told without it.
        return StoreSettings.model_validate({**store.model_dump(), "url": url} if url else {})
    except ValidationError as error:
        faults += [f"{where}: {item['ctx']['error']}" for item in error.errors() if "ctx" in item]
        return StoreSettings()


def _provider_keys(
    layers: Sequence[CatalogLayer], env: Mapping[str, str], faults: list[str]
) -> Mapping[str, tuple[str, ...]]:
    """Of all layers that may hold keys; what a later one says of a provider's keys replaces the earlier."""
    keys: dict[str, tuple[str, ...]] = {}
    for where, slug, provider in _needed(layers):
        found = tuple(_resolved(text, env, f"{where}.{key}", faults) for key, text in _named_secrets(provider))
        keys.update({slug: found} if found else {})
    return MappingProxyType(keys)


def _provider_headers(
    layers: Sequence[CatalogLayer], env: Mapping[str, str], faults: list[str]
) -> Mapping[str, Mapping[str, str]]:
    """The same for headers: a value is sent as it stands, or names a secret as a key does."""
    headers: dict[str, Mapping[str, str]] = {}
    for where, slug, provider in _needed(layers):
        if "headers" in provider.model_fields_set:
            headers[slug] = {
                name: _resolved(text, env, f"{where}.headers.{name}", faults) if names_a_secret(text) else text
                for name, text in provider.headers.items()
            }
    return MappingProxyType(headers)


def _needed(layers: Sequence[CatalogLayer]) -> Iterator[tuple[str, str, ProviderLayer]]:
    """Place, slug and words of every provider in every layer, but for those that are switched off in the end."""
    enabled: dict[str, bool] = {}
    for layer in layers:
        said = {slug: one.enabled for slug, one in layer.providers.items() if "enabled" in one.model_fields_set}
        enabled.update(said)
    for layer in layers:
        for slug, provider in layer.providers.items():
            if enabled.get(slug, True):
                yield f"{layer.where}: providers.{slug}", slug, provider


def _named_secrets(provider: ProviderLayer) -> list[tuple[str, str]]:
    one = [("api_key", provider.api_key)] if provider.api_key is not None else []
    many = [(f"api_keys[{number}]", secret) for number, secret in enumerate(provider.api_keys)]
    return [(key, secret.get_secret_value()) for key, secret in one + many]


def _overlay_dir(path: Path | None) -> Path | None:
    overlay = (path.parent if path else Path()) / "catalog.d"
    return overlay if overlay.is_dir() else None


def _overlays(path: Path | None, faults: list[str]) -> list[CatalogLayer]:
    try:
        return overlay_layers(_overlay_dir(path))
    except ConfigError as error:
        faults.append(str(error))
        return []


def _resolved(text: str, env: Mapping[str, str], where: str, faults: list[str]) -> str:
    try:
        return resolve_secret(text, env, where)
    except ConfigError as error:
        faults.append(str(error))
        return ""


def _config_error(faults: list[str]) -> ConfigError:
    listed = "".join(f"\n  {fault}" for fault in faults)
    error = ConfigError(faults[0] if len(faults) == 1 else f"{len(faults)} things are wrong:{listed}")
    error.where = faults[0].rpartition(": ")[0] or faults[0]
    return error


def _try_certificate(cert: Path, key: Path) -> None:
    """Take the two files as the server will. ValueError where it could not."""
    import ssl

    try:
        # A key with a password would ask for it on the terminal, of which a service has none.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(
                f"tls_key {key} is not the key of tls_cert {cert}; name the two that belong together"
            ) from None
        raise ValueError(
            f"tls_cert {cert} and tls_key {key} are no certificate chain and key without a password in PEM form "
            f"({error.reason or 'unreadable'}); convert or correct them"
        ) from None
    except OSError as error:
        raise ValueError(
            f"tls_cert {cert} or tls_key {key} cannot be read: {error.strerror}; check their owner and mode"
        ) from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_origin(text: str) -> bool:
    parts = urlsplit(text)
    return text == "*" or (
        parts.scheme in ("http", "https") and bool(parts.netloc) and text == f"{parts.scheme}://{parts.netloc}"
    )
