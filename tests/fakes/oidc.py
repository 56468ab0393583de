"""A provider of accounts (OpenID Connect) over a real socket on 127.0.0.1. In: who signs in, what is to go wrong. Out: discovery, keys, codes, tokens (RS256).

It checks what the specification has a provider check: redirect URI, the client's secret, the PKCE verifier, that a code is used once.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID, CLIENT_SECRET = "trunkline", "s3cret/+"


class OidcProvider:
    """Lives until `stop`. `claims` are of who signs in next; `more` is put over what is signed, `broken` names what goes wrong."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"})
        self.claims: dict[str, Any] = {
            "sub": "alice",
            "email": "alice@example.com",
            "email_verified": True,
            "name": "Alice",
        }
        self.more: dict[str, Any] = {}
        self.broken = ""
        self.asked: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider._answer(self, b"")

            def do_POST(self) -> None:
                provider._answer(self, self.rfile.read(int(self.headers["content-length"])))

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def authorize(self, url: str) -> str:
        """What a browser does there: somebody signs in, and is sent back to this address."""
        said = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert said["response_type"] == "code"
        assert said["client_id"] == CLIENT_ID
        assert said["code_challenge_method"] == "S256"
        assert "openid" in said["scope"].split()
        code = secrets.token_urlsafe(8)
        self.codes[code] = said
        return f"{said['redirect_uri']}?{urlencode({'code': code, 'state': said['state'], 'iss': self.issuer})}"

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        path = urlsplit(request.path).path
        self.asked.append(path)
        status, told = getattr(self, "at_" + path.strip("/").replace("/", "_").replace(".", "_").replace("-", "_"))(
            request, {name: values[0] for name, values in parse_qs(body.decode()).items()}
        )
        data = json.dumps(told).encode()
        request.send_response(status)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def at__well_known_openid_configuration(self, *_: object) -> tuple[int, dict[str, Any]]:
        return 200, {
            "issuer": "http://127.0.0.1:1" if self.broken == "issuer" else self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
        }

    def at_keys(self, *_: object) -> tuple[int, dict[str, Any]]:
        return 200, {"keys": [self.key.as_dict(private=False)]}

    def at_userinfo(self, request: BaseHTTPRequestHandler, _: object) -> tuple[int, dict[str, Any]]:
        assert request.headers["authorization"] == "Bearer access-1"
        return 200, self.claims | {"sub": "somebody-else" if self.broken == "userinfo" else self.claims["sub"]}

    def at_token(self, request: BaseHTTPRequestHandler, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        pair = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        said = self.codes.pop(form["code"], None)
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        )
        if (
            said is None
            or [unquote(part) for part in pair.split(":")] != [CLIENT_ID, CLIENT_SECRET]
            or said["code_challenge"] != challenge
            or said["redirect_uri"] != form["redirect_uri"]
        ):
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "access-1", "token_type": "Bearer", "id_token": self._id_token(said)}

    def _id_token(self, said: dict[str, str]) -> str:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": said["nonce"]}
        told = {"sub": self.claims["sub"]} if self.broken in ("thin", "userinfo") else self.claims
        key = RSAKey.generate_key(2048, {"kid": "k1"}) if self.broken == "signature" else self.key
        if self.broken == "none":
            parts = ({"alg": "none"}, claims | told | self.more)
            head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
            return f"{head}.{body}."
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims | told | self.more, key)


@pytest.fixture
def oidc() -> Iterator[OidcProvider]:
    provider = OidcProvider()
    yield provider
    provider.stop()
