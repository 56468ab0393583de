"""How this installation reaches each provider. In: the catalog's provider, the operator's settings, the environment. Out: an `Account`, or why there is none.

Keys live here and in the requests only; nothing of this module is ever shown but `Absent.reason` and `Account.hosts`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from trunkline.catalog.credentials import fault_of_key
from trunkline.catalog.schema import ProviderLayer
from trunkline.catalog.types import Offer, Profile, Provider
from trunkline.errors import ConfigError
from trunkline.execution.transport.types import Origin
from trunkline.protocols.codec import Target
from trunkline.providers.credential_files import INSTEAD_OF_A_KEY, Credential, found_credential
from trunkline.providers.discreet import Discreet
from trunkline.providers.origins import origin_of
from trunkline.providers.surfaces import PLAIN, Surface, surface_of
from trunkline.providers.urls import call_url, fill, value_of

_OWN_AUTH = {"anthropic.messages": "header:x-api-key", "gemini": "header:x-goog-api-key"}
"""As each protocol's own vendor wants its key, where nothing is written: https://platform.claude.com/docs/en/api/overview#authentication,
https://ai.google.dev/gemini-api/docs/api-key. OpenAI's is `bearer`."""
_OWN_HEADERS = {"anthropic.messages": {"anthropic-version": "2023-06-01"}}
"""Without it Anthropic answers 400: https://platform.claude.com/docs/en/api/versioning."""


class Account(Discreet, frozen=True):
    """A provider that can be called. `endpoints` and `targets` keep what was made once for an offer and protocol."""

    provider: Provider
    base_urls: dict[str, str]
    """Protocol -> base URL, filled in."""
    keys: tuple[str, ...]
    """Empty: it needs none, or there is a `credential`."""
    trusted: bool
    """The operator wrote the address, so it may be a private one."""
    headers: Mapping[str, str] = {}
    """Sent with every request; secrets in them are resolved."""
    endpoints: "dict[tuple[str, str, str | None, bool, bool], Endpoint]" = msgspec.field(default_factory=dict)
    targets: dict[tuple[str, str], Target] = msgspec.field(default_factory=dict)
    profiles: tuple[Profile, ...] = ()
    """The catalog's, for `targets`."""
    credential: Credential | None = None
    """Instead of a key: requests go through `providers.authorise`."""
    region: str = ""
    """AWS's, for signatures."""
    own: int = 0
    """How many of the keys, from the first, are the asking member's own: they are used first."""
    whose: str = ""
    """Of an account that not everyone's requests have: the organisation's or member's id."""

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "provider", self.provider.slug
        yield "hosts", self.hosts
        yield "keys", len(self.keys)
        yield "credential", self.credential
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


class Endpoint(Discreet, frozen=True):
    """Where and how to send a request of one offer in one protocol."""

    origin: Origin
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    surface: Surface = PLAIN
    """How the body and the stream differ from the protocol's; see `surfaces.fitted`."""

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "origin", self.origin
        # A key may stand in the query.
        yield "path", self.target.partition(b"?")[0]
        yield "headers", [name for name, _ in self.headers]


class Written(Discreet, frozen=True):
    """What the operator wrote about one provider, the last file last. Secrets are resolved."""

    layers: Sequence[ProviderLayer] = ()
    keys: tuple[str, ...] = ()
    headers: Mapping[str, str] | None = None
    """None: nothing was written about headers."""
    stored: tuple[str, ...] = ()
    """Keys that the store keeps, used in turn with those of the files or the environment."""
    own: tuple[str, ...] = ()
    """The asking member's own, used before all of them."""
    whose: str = ""

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "layers", len(self.layers)
        yield "keys", len(self.keys)

    @property
    def enabled(self) -> bool:
        """As the last file that speaks of it says."""
        said = [layer.enabled for layer in self.layers if "enabled" in layer.model_fields_set]
        return said[-1] if said else True

    @property
    def credentials(self) -> str:
        """The file of credentials, as the last file that names one says."""
        named = [layer.credentials for layer in self.layers if layer.credentials]
        return named[-1] if named else ""

    @property
    def address(self) -> bool:
        """Whether the operator said where it is."""
        return any(layer.base_url or layer.base_urls or layer.endpoint for layer in self.layers)


def resolve(
    provider: Provider, written: Written, env: Mapping[str, str], profiles: tuple[Profile, ...] = ()
) -> Account | Absent:
    """The account at one provider, or why there is none."""
    if not written.enabled:
        return Absent(provider, "switched off by `enabled = false`")
    own = bool(written.keys or written.credentials)
    variable, key = _from_environment(provider.key_env, env) if not own else ("", "")
    found = tuple(dict.fromkeys((*written.own, *(written.keys or ((key,) if key else ())), *written.stored)))
    fault = fault_of_key(key)
    if fault:
        return Absent(provider, f"the variable {variable} {fault}", (variable,))
    try:
        place = f"[providers.{provider.slug}] credentials"
        credential = None if found else found_credential(provider.accepts, written.credentials, env, place)
    except ConfigError as error:
        return Absent(provider, str(error))
    provider = _with_project(provider, credential, env)
    filled: dict[str, str] = {}
    missing: list[str] = []
    for protocol, url in provider.base_urls.items():
        filled[protocol], unknown = fill(url, provider, env)
        missing += unknown
    if not found and credential is None and _wants_a_key(provider):
        instead = INSTEAD_OF_A_KEY.get(provider.accepts)
        missing.insert(0, " or ".join((*provider.key_env, *([instead] if instead else []))))
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
        targets={},
        profiles=profiles,
        credential=credential,
        region=value_of("region", provider, env),
        own=len(set(written.own)),
        whose=written.whose,
    )


def _wants_a_key(provider: Provider) -> bool:
    return bool(provider.key_env) and any(auth_of(provider, protocol) != "none" for protocol in provider.base_urls)


def _with_project(provider: Provider, credential: Credential | None, env: Mapping[str, str]) -> Provider:
    """A credential file of Google names the project that it is of."""
    project = getattr(credential, "project", "")
    if not project or value_of("project", provider, env):
        return provider
    return msgspec.structs.replace(provider, vars={**provider.vars, "project": project})


def auth_of(provider: Provider, protocol: str) -> str:
    """`bearer`, `header:NAME`, `query:NAME` or `none`: where the key goes in requests of this protocol."""
    return provider.auth_by.get(protocol) or provider.auth or _OWN_AUTH.get(protocol, "bearer")


def endpoint(
    account: Account, offer: Offer, protocol: str, key: str | None, *, stream: bool = False, count: bool = False
) -> Endpoint:
    """The request line, address and headers of one offer; `count` is of the protocol's call that counts tokens. Raises ConfigError where
    the provider has no address for the protocol."""
    name = (offer.id, protocol, key, stream, count)
    known = account.endpoints.get(name)
    if known is None:
        known = account.endpoints[name] = _endpoint(account, offer, protocol, key, stream=stream, count=count)
    return known


def with_headers(
    headers: tuple[tuple[bytes, bytes], ...], more: Sequence[tuple[bytes, bytes]]
) -> tuple[tuple[bytes, bytes], ...]:
    """The headers with `more` of this request; one of the same name takes the other's place, as a caller's own `anthropic-version` does."""
    named = {name.lower() for name, _ in more}
    return (*(header for header in headers if header[0].lower() not in named), *more)


def _endpoint(account: Account, offer: Offer, protocol: str, key: str | None, *, stream: bool, count: bool) -> Endpoint:
    base_url = account.base_urls.get(protocol)
    if base_url is None:
        slug = account.provider.slug
        raise ConfigError(f"{slug} has no base URL for {protocol}: give `base_urls`", where=f"providers.{slug}")
    parts = urlsplit(call_url(base_url, protocol, offer.upstream_model, stream=stream, count=count))
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    kind, _, name = auth_of(account.provider, protocol).partition(":")
    if kind == "query" and key:
        path += f"{'&' if '?' in path else '?'}{name}={quote(key, safe='')}"
    return Endpoint(
        origin_of(base_url, trusted=account.trusted),
        path.encode("ascii"),
        tuple(_headers(account, protocol, kind, name, key)),
        # Counting has one body everywhere.
        PLAIN if count else surface_of(base_url, protocol),
    )


def _headers(account: Account, protocol: str, kind: str, name: str, key: str | None) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", b"application/json")]
    if key and kind == "bearer":
        headers.append((b"authorization", b"Bearer " + key.encode("ascii")))
    elif key and kind == "header":
        headers.append((name.encode("ascii"), key.encode("ascii")))
    fixed: dict[str, str] = {}
    for layer in (_OWN_HEADERS.get(protocol, {}), account.headers, account.provider.protocol_headers.get(protocol, {})):
        fixed |= {header.lower(): value for header, value in layer.items()}
    return [*headers, *((header.encode("ascii"), value.encode("ascii")) for header, value in fixed.items())]


def _is_told_by_variable(provider: Provider, env: Mapping[str, str]) -> bool:
    return any(env.get(variable) for variable in provider.variables.values())


def _from_environment(names: tuple[str, ...], env: Mapping[str, str]) -> tuple[str, str]:
    """The first variable that is set, and its value."""
    for name in names:
        value = env.get(name, "").strip()
        if value:
            return name, value
    return "", ""
