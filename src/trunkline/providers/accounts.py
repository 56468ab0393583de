"""How this installation reaches each provider. In: the catalog's provider, the operator's settings, the environment. Out: an `Account`, or why there is none.

Keys live here and in the requests only; nothing of this module is ever shown but `Absent.reason` and `Account.hosts`.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from trunkline.catalog.credentials import fault_of_key
from trunkline.catalog.schema import ProviderLayer
from trunkline.catalog.types import Offer, Provider
from trunkline.errors import ConfigError
from trunkline.execution.transport.types import Origin
from trunkline.providers.urls import fill, request_url


class _Discreet(msgspec.Struct, frozen=True):
    """A struct with secrets in it, which says only what `_shown` says: in logs, in tracebacks, and in the pages of a debugger."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._shown())})"

    def __rich_repr__(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        return self._shown()

    def _shown(self) -> Iterator[tuple[str, Any]]:
        raise NotImplementedError


class Account(_Discreet, frozen=True):
    """A provider that can be called. `endpoints` keeps what was made once for an offer and protocol."""

    provider: Provider
    base_urls: dict[str, str]
    """Protocol -> base URL, filled in."""
    keys: tuple[str, ...]
    trusted: bool
    """The operator wrote the address, so it may be a private one."""
    headers: Mapping[str, str] = {}
    """Sent with every request; secrets in them are resolved."""
    endpoints: "dict[tuple[str, str, str | None], Endpoint]" = {}

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "provider", self.provider.slug
        yield "hosts", self.hosts
        yield "keys", len(self.keys)
        yield "trusted", self.trusted

    @property
    def hosts(self) -> list[str]:
        """For showing."""
        found = {urlsplit(url).netloc.rpartition("@")[2] for url in self.base_urls.values()}
        # `.invalid` stands for what has no address of its own, the models that run in this gateway's own child.
        return sorted(host for host in found if not host.endswith(".invalid"))


class Absent(msgspec.Struct, frozen=True):
    """A provider that cannot be called, and the mend in words."""

    provider: Provider
    reason: str
    variables: tuple[str, ...] = ()
    """Of the environment (or keys of the file), that would bring it."""


class Endpoint(_Discreet, frozen=True):
    """Where and how to send a request of one offer in one protocol."""

    origin: Origin
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "origin", self.origin
        # A key may stand in the query.
        yield "path", self.target.partition(b"?")[0]
        yield "headers", [name for name, _ in self.headers]


class Written(_Discreet, frozen=True):
    """What the operator wrote about one provider, the last file last. Secrets are resolved."""

    layers: Sequence[ProviderLayer] = ()
    keys: tuple[str, ...] = ()
    headers: Mapping[str, str] | None = None
    """None: nothing was written about headers."""

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "layers", len(self.layers)
        yield "keys", len(self.keys)

    @property
    def enabled(self) -> bool:
        """As the last file that speaks of it says."""
        said = [layer.enabled for layer in self.layers if "enabled" in layer.model_fields_set]
        return said[-1] if said else True

    @property
    def address(self) -> bool:
        """Whether the operator said where it is."""
        return any(layer.base_url or layer.base_urls or layer.endpoint for layer in self.layers)


def resolve(provider: Provider, written: Written, env: Mapping[str, str]) -> Account | Absent:
    """The account at one provider, or why there is none."""
    if not written.enabled:
        return Absent(provider, "switched off by `enabled = false`")
    variable, key = _from_environment(provider.key_env, env) if not written.keys else ("", "")
    found = written.keys or ((key,) if key else ())
    fault = fault_of_key(key)
    if fault:
        return Absent(provider, f"the variable {variable} {fault}", (variable,))
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
        provider,
        filled,
        found,
        trusted=provider.local or written.address or _is_told_by_variable(provider, env),
        headers=provider.headers if written.headers is None else written.headers,
        endpoints={},
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
        path += f"{'&' if '?' in path else '?'}{name}={quote(key, safe='')}"
    return Endpoint(
        _origin(base_url, trusted=account.trusted),
        path.encode("ascii"),
        tuple(_headers(account, kind, name, key)),
    )


def _headers(account: Account, kind: str, name: str, key: str | None) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", b"application/json")]
    if key and kind == "bearer":
        headers.append((b"authorization", b"Bearer " + key.encode("ascii")))
    elif key and kind == "header":
        headers.append((name.encode("ascii"), key.encode("ascii")))
    headers += [(header.encode("ascii"), value.encode("ascii")) for header, value in account.headers.items()]
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


def _is_told_by_variable(provider: Provider, env: Mapping[str, str]) -> bool:
    return any(env.get(variable) for variable in provider.variables.values())


def _from_environment(names: tuple[str, ...], env: Mapping[str, str]) -> tuple[str, str]:
    """The first variable that is set, and its value."""
    for name in names:
        value = env.get(name, "").strip()
        if value:
            return name, value
    return "", ""
