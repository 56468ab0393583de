"""Tells people by mail. In: alerts. Out: messages, handed to a mail server over SMTP, in a thread.

`smtp://user:password@host:587` uses STARTTLS where the server has it and always before a password is sent; `?starttls=always` demands it, `never` does
without; `smtps://host:465` begins with TLS (https://www.rfc-editor.org/rfc/rfc8314#section-3.3).
"""

import asyncio
import hashlib
import smtplib
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import parse_qs, unquote, urlsplit

from trunkline.alerts.types import Alert, UndeliveredError

TIMEOUT_S = 15.0
PORTS = {"smtp": 587, "smtps": 465}


class Mail:
    """Implements `Receiver`. Lives as long as its settings."""

    name = "mail"

    def __init__(self, url: str, sender: str, to: Sequence[str], ca_file: str = "") -> None:
        """`ca_file` is trusted beside the system's certificates."""
        parts = urlsplit(url)
        self._tls_first = parts.scheme == "smtps"
        self._host = parts.hostname or "localhost"
        self._port = parts.port or PORTS.get(parts.scheme, 587)
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._starttls = (parse_qs(parts.query).get("starttls") or ["if there"])[-1]
        self._sender = sender
        self._to = tuple(to)
        self._ca_file = ca_file

    async def tell(self, alert: Alert, at_ms: int) -> None:
        message = message_of(alert, at_ms, self._sender, self._to)
        try:
            await asyncio.to_thread(self._send, message)
        except (OSError, smtplib.SMTPException) as error:
            # Not its text: servers repeat what they were sent.
            code = getattr(error, "smtp_code", "")
            raise UndeliveredError(
                f"{self._host} did not take the mail ({type(error).__name__} {code})".replace(" )", ")")
            ) from error

    def _send(self, message: EmailMessage) -> None:
        context = ssl.create_default_context()
        if self._ca_file:
            context.load_verify_locations(self._ca_file)
        if self._tls_first:
            with smtplib.SMTP_SSL(self._host, self._port, timeout=TIMEOUT_S, context=context) as server:
                self._hand_over(server, message)
            return
        with smtplib.SMTP(self._host, self._port, timeout=TIMEOUT_S) as server:
            server.ehlo()
            if self._wants_tls(server):
                server.starttls(context=context)
                server.ehlo()
            self._hand_over(server, message)

    def _wants_tls(self, server: smtplib.SMTP) -> bool:
        if self._starttls == "never":
            return False
        # `starttls` fails where the server has none; so does a password, which is never sent in the open.
        return self._starttls == "always" or bool(self._password) or server.has_extn("starttls")

    def _hand_over(self, server: smtplib.SMTP, message: EmailMessage) -> None:
        if self._user:
            server.login(self._user, self._password)
        server.send_message(message, self._sender, self._to)


def message_of(alert: Alert, at_ms: int, sender: str, to: Sequence[str]) -> EmailMessage:
    """In plain text. Its id is the same however often it is sent, so that mail programs show it once."""
    message = EmailMessage()
    message["Subject"] = f"Trunkline: {alert.title}"
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Date"] = format_datetime(datetime.fromtimestamp(at_ms / 1000, UTC))
    digest = hashlib.sha256(alert.key.encode()).hexdigest()[:32]
    message["Message-ID"] = f"<{digest}@{sender.rpartition('@')[2] or 'trunkline'}>"
    # https://www.rfc-editor.org/rfc/rfc3834#section-5: no answers of absent people.
    message["Auto-Submitted"] = "auto-generated"
    facts = "\n".join(f"{name}: {value}" for name, value in alert.data.items() if value not in (None, ""))
    message.set_content(f"{alert.text}\n\n{facts}\n")
    return message
