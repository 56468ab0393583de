"""Serialises request heads. In: `UpstreamRequest`. Out: bytes from the request line to the empty line.

Anything that could end a line early or frame the body a second time is refused before a byte is sent (RFC 9112, 11.2).
"""

import re

from trunkline.execution.transport.options import Unsendable
from trunkline.execution.transport.types import Origin, UpstreamRequest

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VISIBLE = re.compile(rb"[!-~]+")
_HOST = re.compile(r"[0-9A-Za-z._-]+|\[?[0-9A-Fa-f:.]+\]?")
_CACHED_LINES = 512
_CACHED_NAMES = 512
_DEFAULT_PORTS = {"http": 80, "https": 443}

OWNED_BY_TRANSPORT = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"proxy-connection",
        b"proxy-authorization",
        b"keep-alive",
        b"upgrade",
        b"te",
        b"trailer",
        b"expect",
        b"accept-encoding",
    )
)
"""Framing and hop-by-hop fields (RFC 9110, 7.6.1): one that slipped in from a caller could frame the body twice."""

_METHODS_WITHOUT_BODY = frozenset((b"GET", b"HEAD", b"DELETE", b"OPTIONS"))


def authority(origin: Origin) -> str:
    """`host[:port]` as in the Host header and in CONNECT (there always with its port, see `authority_with_port`)."""
    host = bracketed(origin.host)
    return host if origin.port == _DEFAULT_PORTS.get(origin.scheme) else f"{host}:{origin.port}"


def bracketed(host: str) -> str:
    """An IPv6 address in brackets, any other host as it is; `Unsendable` for what is neither a name nor an address."""
    if not _HOST.fullmatch(host):
        raise Unsendable(f"the host {host!r} is neither a name in ASCII nor an address; check the provider's base_url")
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


class RequestHeads:
    """Writes the heads for one origin. Lives as long as its pool: request lines and names repeat, and are kept."""

    def __init__(self, origin: Origin, *, absolute_form: bool, extra: bytes = b"") -> None:
        """`absolute_form` and `extra` (whole header lines) are for plain proxies (RFC 9112, 3.2.2)."""
        host = authority(origin)
        self._target_prefix = f"http://{host}".encode() if absolute_form else b""
        self._after_target = f" HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\n".encode() + extra
        self._lines: dict[tuple[bytes, bytes], bytes] = {}
        self._names: set[bytes] = set()
        self._last_headers: tuple[tuple[bytes, bytes], ...] = ()
        self._last_block = b""

    def encode(self, request: UpstreamRequest) -> bytes:
        line = self._lines.get((request.method, request.target)) or self._first_lines(request)
        headers = request.headers
        block = self._last_block if headers == self._last_headers else self._header_block(headers)
        if request.body or request.method not in _METHODS_WITHOUT_BODY:
            return line + block + b"Content-Length: %d\r\n\r\n" % len(request.body)
        return line + block + b"\r\n"

    def before_length(self, request: UpstreamRequest) -> bytes:
        """The head of requests that differ in their bodies alone, up to the length: digits and an empty line are to follow."""
        head = self.encode(request)
        return head[: head.rindex(b"0\r\n\r\n")]

    def _first_lines(self, request: UpstreamRequest) -> bytes:
        method, target = request.method, request.target
        if not _TOKEN.fullmatch(method) or method == b"CONNECT":
            raise Unsendable(f"the method {method!r} cannot be sent")
        if not _VISIBLE.fullmatch(target) or not target.startswith(b"/"):
            raise Unsendable("the request target must start with / and hold visible ASCII only; encode it first")
        if len(self._lines) >= _CACHED_LINES:
            self._lines.clear()
        line = b"%b %b%b%b" % (method, self._target_prefix, target, self._after_target)
        self._lines[(method, target)] = line
        return line

    def _header_block(self, headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
        if not headers:
            return b""
        names = self._names
        for name, _ in headers:
            if name not in names:
                self._admit_name(name)
        block = b"\r\n".join([b": ".join(header) for header in headers]) + b"\r\n"
        lines = len(headers)
        if block.count(b"\n") != lines or block.count(b"\r") != lines or 0 in block or not block.isascii():
            # The value is not named: it may be a key.
            raise Unsendable("a request header's value holds CR, LF, NUL or a byte outside ASCII")
        self._last_headers, self._last_block = headers, block
        return block

    def _admit_name(self, name: bytes) -> None:
        if not _TOKEN.fullmatch(name):
            raise Unsendable(f"the header name {name!r} is not a token (RFC 9110, 5.6.2)")
        if name.lower() in OWNED_BY_TRANSPORT:
            raise Unsendable(f"the header {name.decode()} is set by the transport; leave it out")
        if len(self._names) >= _CACHED_NAMES:
            self._names.clear()
        self._names.add(name)
