"""Which addresses may be connected to. In: an address or a host name as written. Out: the rule that forbids it, or "".

Registries: https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry.
"""

import ipaddress
import socket

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# IETF protocol assignments: Python 3.11 calls them global; one cloud serves metadata at 192.0.0.192.
_ONLY_PUBLIC_BY_NAME = (ipaddress.IPv4Network("192.0.0.0/24"),)
_LINK_LOCAL = (ipaddress.IPv4Network("169.254.0.0/16"), ipaddress.IPv6Network("fe80::/10"))
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html,
# https://docs.cloud.google.com/compute/docs/metadata/querying-metadata
_METADATA = frozenset((ipaddress.IPv6Address("fd00:ec2::254"), ipaddress.IPv6Address("fd20:ce::254")))
_GOOGLES_METADATA = frozenset((ipaddress.IPv4Address("169.254.169.254"), ipaddress.IPv6Address("fd20:ce::254")))


def refusal(address: Address, *, guarded: bool) -> str:
    """Every address that this one stands for is looked at: an IPv4 address may hide in an IPv6 one."""
    for one in (address, *_embedded(address)):
        rule = _refusal_of_one(one, guarded=guarded)
        if rule:
            return f"{address} is {rule}"
    return ""


def refusal_of_metadata(address: Address) -> str:
    """For an origin that is the metadata server: whatever its name leads to, nothing but that is connected to."""
    return "" if address in _GOOGLES_METADATA else f"{address} is not the metadata server's address"


def refusal_of_name(host: str, *, guarded: bool) -> str:
    """For a host that a proxy will resolve: addresses in any spelling that resolvers take, names of this machine."""
    address = literal(host)
    if address is not None:
        return refusal(address, guarded=guarded)
    name = host.rstrip(".").lower()
    if guarded and (name == "localhost" or name.endswith(".localhost")):
        return f"{host} is a loopback name (RFC 6761, 6.3)"
    return ""


def literal(host: str) -> Address | None:
    """The address that `host` spells, also in the old forms (`127.1`, `0x7f000001`) of resolvers; None for a name."""
    bare = host.strip("[]")
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(bare))
    except (OSError, ValueError):
        return None


def _refusal_of_one(address: Address, *, guarded: bool) -> str:
    if any(address in network for network in _LINK_LOCAL):
        return "link-local, where clouds keep instance credentials; it is never connected to"
    if address in _METADATA:
        return "a cloud's metadata service; it is never connected to"
    if guarded and not _public(address):
        return "not a public address; this origin is guarded against private, loopback and reserved ones"
    return ""


def _public(address: Address) -> bool:
    if _embedded(address):
        return True
    if any(address in network for network in _ONLY_PUBLIC_BY_NAME):
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: Address) -> tuple[ipaddress.IPv4Address, ...]:
    """The IPv4 address inside an IPv4-mapped, IPv4-compatible, NAT64 (RFC 6052) or 6to4 (RFC 3056) address."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address in _NAT64 or address in _IPV4_COMPATIBLE:
        return (ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF),)
    return ()
