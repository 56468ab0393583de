"""A mail server over real sockets, with STARTTLS and passwords where a test wants them. In: what it offers. Out: the mails that it took."""

import base64
import contextlib
import socket
import ssl
import threading
from email import message_from_bytes
from email.message import Message


class SmtpServer:
    """Lives from its making to `stop`. `refuse` answers every mail with that line instead of taking it."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, password: str = "", tls_first: bool = False) -> None:
        self.mails: list[Message] = []
        self.said: list[str] = []
        """What clients said before the mail, but for what came encrypted; `TLS` where they began it."""
        self.logins: list[str] = []
        self.refuse = ""
        self._tls = tls
        self._tls_first = tls_first
        self._password = password
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(10)
            with contextlib.ExitStack() as opened, contextlib.suppress(OSError, ValueError):
                opened.enter_context(connection)
                self._talk(connection, opened)

    def _talk(self, connection: socket.socket, opened: contextlib.ExitStack) -> None:
        def in_tls() -> socket.socket:
            assert self._tls is not None
            wrapped = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            opened.enter_context(wrapped)
            wrapped.do_handshake()
            return wrapped

        secure = self._tls_first
        if self._tls_first:
            connection = in_tls()
        lines = opened.enter_context(connection.makefile("rb"))

        def say(text: str) -> None:
            connection.sendall(text.encode() + b"\r\n")

        say("220 mail.example.com")
        while line := lines.readline():
            words = line.decode().strip()
            verb = words.split(" ")[0].upper()
            if not secure:
                self.said.append(verb)
            if verb == "EHLO":
                offers = [*(["STARTTLS"] if self._tls is not None and not secure else []), "AUTH PLAIN"]
                say("\r\n".join(["250-mail.example.com", *(f"250-{one}" for one in offers), "250 SMTPUTF8"]))
            elif verb == "STARTTLS" and self._tls is not None:
                say("220 go on")
                connection = in_tls()
                lines, secure = opened.enter_context(connection.makefile("rb")), True
                self.said.append("TLS")
            elif verb == "AUTH":
                given = base64.b64decode(words.split(" ")[2]).decode().split("\0")
                self.logins.append(given[1])
                say("235 welcome" if given[2] == self._password else f"535 no, {given[2]} is wrong")
            elif verb == "DATA":
                say("354 go on")
                body = b""
                while (piece := lines.readline()) != b".\r\n":
                    body += piece
                if self.refuse:
                    say(self.refuse)
                    continue
                self.mails.append(message_from_bytes(body))
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                return
            elif verb in ("MAIL", "RCPT", "RSET", "NOOP"):
                say("250 OK")
            else:
                say("502 no")
