"""TLS as a client. In: the operator's extra CA file. Out: one context for all, that keeps each host's session."""

import ssl
from typing import Any

from trunkline.errors import ConfigError

_KEPT_SESSIONS = 256


class ClientContext(ssl.SSLContext):
    """Verifies the chain and the name, speaks HTTP/1.1 only, and offers the last session of the host (RFC 8446, 2.2).

    asyncio and uvloop have no parameter for a session, but both come through `wrap_bio`.
    """

    _sessions: dict[str, ssl.SSLSession]

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        session = session or self._sessions.get(str(server_hostname))
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def keep_session(self, tls: Any) -> None:
        """Called after an answer was read: with TLS 1.3 the ticket comes after the handshake."""
        session, host = tls.session, tls.server_hostname
        if session is None or not session.has_ticket:
            return
        if len(self._sessions) >= _KEPT_SESSIONS:
            self._sessions.clear()
        self._sessions[host] = session


def client_context(ca_file: str) -> ClientContext:
    """As `ssl.create_default_context`: PROTOCOL_TLS_CLIENT verifies chain and host name, and takes TLS 1.2 at least."""
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    context._sessions = {}
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    if not ca_file:
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot be read as PEM certificates: {error}", where=ca_file) from error
    return context
