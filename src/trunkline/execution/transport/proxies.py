"""Which proxy an origin is reached through. In: an environment-like mapping and an `Origin`. Out: a `Proxy` or None.

The variables mean what they mean to curl (https://curl.se/docs/manpage.html, "ENVIRONMENT"): lower case wins, NO_PROXY
lists suffixes.
"""

import base64
import ipaddress
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import msgspec

from trunkline.errors import ConfigError
from trunkline.execution.transport.types import Origin

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Proxy(msgspec.Struct, frozen=True):
    host: str
    port: int
    tls: bool
    """The way to the proxy itself is encrypted."""
    authorization: bytes
    """A whole `Proxy-Authorization` line, or empty."""


def proxy_for(origin: Origin, env: Mapping[str, str]) -> Proxy | None:
    """`ConfigError` for a proxy URL that cannot be used."""
    if origin.unix_path or not env or origin.metadata or _is_this_machine(origin):
        return None
    variable = f"{origin.scheme}_proxy"
    url = _setting(env, variable) or _setting(env, "all_proxy")
    if not url or _is_excepted(origin, _setting(env, "no_proxy")):
        return None
    return _parse(url, variable.upper())


def check_proxies(env: Mapping[str, str]) -> None:
    """`ConfigError` now instead of at the first request."""
    for scheme in _DEFAULT_PORTS:
        proxy_for(Origin(scheme, "", 0), env)


def _setting(env: Mapping[str, str], name: str) -> str:
    return (env.get(name) or env.get(name.upper()) or "").strip()


def _parse(url: str, variable: str) -> Proxy:
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError("not a URL; write http://host:port", where=variable) from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ConfigError("only http:// and https:// proxies with a host are supported", where=variable)
    return Proxy(
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[parts.scheme],
        tls=parts.scheme == "https",
        authorization=_authorization(parts.username, parts.password),
    )


def _authorization(user: str | None, password: str | None) -> bytes:
    if user is None:
        return b""
    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return b"Proxy-Authorization: Basic " + base64.b64encode(pair) + b"\r\n"


def _is_this_machine(origin: Origin) -> bool:
    """Never by a proxy, which would look for it on a machine of its own: a local model's prompts must not leave this one.

    Go does the same (https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config.ProxyFunc); names below localhost: RFC 6761, 6.3.
    """
    host = origin.host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _is_excepted(origin: Origin, no_proxy: str) -> bool:
    host = origin.host.strip("[]").rstrip(".").lower()
    return any(_matches(entry.strip().lower(), host, origin.port) for entry in no_proxy.split(",") if entry.strip())


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    network = _network(entry)
    if network is not None:
        address = _network(host)
        return address is not None and address.version == network.version and address[0] in network
    name, colon, wanted_port = entry.rpartition(":")
    if colon and wanted_port.isdecimal():
        if int(wanted_port) != port:
            return False
        entry = name.strip("[]")
    suffix = entry.lstrip("*").strip(".")
    return bool(suffix) and (host == suffix or host.endswith(f".{suffix}"))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None
