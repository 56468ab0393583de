"""From a URL to the place where the transport connects."""

import ipaddress
from urllib.parse import urlsplit

from trunkline.execution.transport.types import Origin


def origin_of(url: str, *, trusted: bool) -> Origin:
    """`trusted`: the operator wrote the address, so it may be a private one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Origin(parts.scheme, host, port, guarded=not (trusted or _is_loopback(host)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
