"""Browsers on other origins, where the operator allows them (`[server] cors_origins`). In: an Origin. Out: headers (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

from trunkline.execution.respond import Headers

_EXPOSED = (
    b"x-request-id, request-id, x-zenmux-requestid, x-trunkline-cost, x-trunkline-provider, x-trunkline-dropped, x-trunkline-losses, x-trunkline-estimated, "
    b"x-trunkline-attempts, x-trunkline-plan, x-trunkline-original-request-id, idempotent-replayed, "
    b"retry-after, retry-after-ms, x-should-retry"
)
"""What clients read: the last two are the SDKs' (https://github.com/openai/openai-python, `src/openai/_base_client.py`, `_should_retry`)."""
_DAY_S = b"86400"


class Cors:
    """The allowed origins. Without any, no header is ever sent. Lives as long as the process."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self.allow(origins)

    def allow(self, origins: tuple[str, ...]) -> None:
        """From now on these, and no others."""
        self._all = "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    def allows(self, origin: bytes) -> bool:
        """Whether a page of this origin may call."""
        return bool(origin) and (self._all or origin in self._origins)

    def headers(self, origin: bytes) -> Headers:
        """For every answer. Never with credentials: keys go in headers, cookies are not for other origins."""
        if not self.allows(origin):
            return []
        allowed = b"*" if self._all else origin
        return [
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"origin"),
        ]

    def preflight(self, asked: Headers) -> Headers:
        """The answer to OPTIONS, but for what `headers` adds."""
        wanted = next(
            (value for name, value in asked if name == b"access-control-request-headers"),
            b"authorization, content-type",
        )
        return [
            (b"access-control-allow-methods", b"GET, POST, DELETE, OPTIONS"),
            (b"access-control-allow-headers", wanted),
            (b"access-control-max-age", _DAY_S),
        ]
