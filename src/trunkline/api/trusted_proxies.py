"""Whom to believe about the caller's address (`[server] trusted_proxies`).

In: a connection's peer and a request's headers. Out: the caller's address and scheme.

https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-Forwarded-For: each proxy appends whom it heard; only what a trusted one wrote counts.
"""

import ipaddress
import re

from trunkline.execution.respond import Headers

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|([^:]+):\d+")
"""Some proxies append the port (https://learn.microsoft.com/en-us/azure/application-gateway/how-application-gateway-works)."""


class TrustedProxies:
    """The operator's proxies. Lives as long as the process."""

    def __init__(self, networks: tuple[str, ...]) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]

    def caller(self, peer: str, scheme: str, headers: Headers) -> tuple[str, str]:
        """Address and scheme of the caller behind the proxies; the connection's own where it does not come from one."""
        if not self._networks or not self._trusts(_address(peer)):
            return peer, scheme
        heard = b",".join([value for name, value in headers if name == b"x-forwarded-for"]).decode("latin-1")
        schemes = b",".join([value for name, value in headers if name == b"x-forwarded-proto"]).lower().split(b",")
        told = schemes[-1].strip()
        return self._first_untrusted(peer, heard), told.decode() if told in (b"http", b"https") else scheme

    def _first_untrusted(self, peer: str, heard: str) -> str:
        """From the right, up to the first that is no proxy of ours; a word that is no address ends it."""
        found = peer
        for hop in reversed([hop.strip() for hop in heard.split(",") if hop.strip()]):
            address = _address(hop)
            if address is None:
                break
            found = str(address)
            if not self._trusts(address):
                break
        return found

    def _trusts(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> _Address | None:
    """Without a port; an IPv4 address that came over an IPv6 socket as what it is."""
    with_port = _WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address(with_port[1] or with_port[2] if with_port else text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
