"""How this installation reaches each provider. In: the catalog's provider, the operator's settings, the environment. Out: an `Account`, or why there is none.

Keys live here and in the requests only; nothing of this module is ever shown but `Absent.reason` and `Account.hosts`.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from trunkline.catalog.schema import ProviderLayer
from trunkline.catalog.types import Offer, Provider
from trunkline.errors import ConfigError
from trunkline.execution.transport.types import Origin
from trunkline.providers.urls import fill, request_url


class Account(msgspec.Struct, frozen=True):
    """A provider that can be called. `endpoints` keeps what was made once for an offer and protocol."""

    provider: Provider
    base_urls: dict[str, str]
    """Protocol -> base URL, filled in."""
    keys: tuple[str, ...]
    trusted: bool
    """The operator wrote the address, so it may be a private one."""
    endpoints: "dict[tuple[str, str, str | None], Endpoint]" = {}

    @property
    def hosts(self) -> list[str]:
        """For showing."""
        return sorted({urlsplit(url).netloc.rpartition("@")[2] for url in self.base_urls.values()})


class Absent(msgspec.Struct, frozen=True):
    """A provider that cannot be called, and the mend in words."""

    provider: Provider
    reason: str
    variables: tuple[str, ...] = ()
    """Of the environment (or keys of the file), that would bring it."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where and how to send a request of one offer in one protocol."""

    origin: Origin
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]


def resolve(
    provider: Provider, layer: ProviderLayer | None, keys: tuple[str, ...], env: Mapping[str, str]
) -> Account | Absent:
    """The account at one provider. `layer` is what the operator wrote about it, `keys` the secrets from there, already resolved."""
    if layer is not None and not layer.enabled:
        return Absent(provider, "switched off by `enabled = false`")
    found = keys or _from_environment(provider.key_env, env)
    filled: dict[str, str] = {}
    missing: list[str] = []
    for protocol, url in provider.base_urls.items():
        filled[protocol], unknown = fill(url, provider, env)
        missing += unknown
    if not found and provider.auth != "none" and provider.key_env:
        missing.insert(0, " or ".join(provider.key_env))
    if missing:
        wanted = tuple(dict.fromkeys(missing))
        return Absent(provider, f"set {' and '.join(wanted)}", wanted)
    if not filled:
        return Absent(provider, "no base URL is known: give `base_url`")
    return Account(
        provider, filled, found, trusted=provider.local or _wrote_address(provider, layer, env), endpoints={}
    )


def endpoint(account: Account, offer: Offer, protocol: str, key: str | None) -> Endpoint:
    """The request line, address and headers of one offer. Raises ConfigError where the provider has no address for the protocol."""
    name = (offer.id, protocol, key)
    known = account.endpoints.get(name)
    if known is None:
        known = account.endpoints[name] = _endpoint(account, offer, protocol, key)
    return known


def _endpoint(account: Account, offer: Offer, protocol: str, key: str | None) -> Endpoint:
    base_url = account.base_urls.get(protocol)
    if base_url is None:
        slug = account.provider.slug
        raise ConfigError(f"{slug} has no base URL for {protocol}: give `base_urls`", where=f"providers.{slug}")
    parts = urlsplit(request_url(base_url, protocol, offer.upstream_model))
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    kind, _, name = account.provider.auth.partition(":")
    if kind == "query" and key:
        path += f"{'&' if '?' in path else '?'}{name}={key}"
    return Endpoint(
        _origin(base_url, trusted=account.trusted),
        path.encode("ascii"),
        tuple(_headers(account.provider, kind, name, key)),
    )


def _headers(provider: Provider, kind: str, name: str, key: str | None) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", b"application/json")]
    if key and kind == "bearer":
        headers.append((b"authorization", b"Bearer " + key.encode("ascii")))
    elif key and kind == "header":
        headers.append((name.encode("ascii"), key.encode("ascii")))
    headers += [(header.encode("ascii"), value.encode("latin-1")) for header, value in provider.headers.items()]
    return headers


def _origin(base_url: str, *, trusted: bool) -> Origin:
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Origin(parts.scheme, host, port, guarded=not (trusted or _is_loopback(host)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _wrote_address(provider: Provider, layer: ProviderLayer | None, env: Mapping[str, str]) -> bool:
    wrote = layer is not None and bool(layer.base_url or layer.base_urls or layer.endpoint)
    return wrote or any(env.get(variable) for variable in provider.variables.values())


def _from_environment(names: tuple[str, ...], env: Mapping[str, str]) -> tuple[str, ...]:
    for name in names:
        value = env.get(name, "").strip()
        if value:
            return (value,)
    return ()
