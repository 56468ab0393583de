"""Signing in with an account of another provider (OpenID Connect, code flow with PKCE). In: `[auth.oidc]`, a code. Out: an `Account`, checked.

Claims, challenge and addresses are Authlib's, signatures joserfc's; what goes over the wire goes through our own guarded client. Of the issuer's host every
address is good, since the operator named it; to other hosts, which its document names, only public ones are connected to.
https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth, https://openid.net/specs/openid-connect-discovery-1_0.html
"""

import asyncio
import base64
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from trunkline.errors import TransportError, TrunklineError
from trunkline.execution.transport.types import Origin, Transport, UpstreamRequest
from trunkline.sections import OidcSettings

DISCOVERY = "/.well-known/openid-configuration"
SCOPE = "openid email profile"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Those with a public key: with one of HMAC whoever knows the client's secret could make up people."""
KEPT_S = 3_600.0
KEYS_AGAIN_S = 30.0
"""A token with an unknown key makes us read the issuer's keys again, at most so often."""
LEEWAY_S = 60
Decoded = TypeVar("Decoded")
MAX_BYTES = 512 * 1024


class OidcError(TrunklineError):
    """Signing in did not come about; the text may be shown."""


class Account(msgspec.Struct, frozen=True):
    """Who the issuer says that somebody is. `email` is in lower case; empty where it is not verified."""

    issuer: str
    subject: str
    email: str
    name: str


class Started(msgspec.Struct, frozen=True, array_like=True):
    """What a browser keeps between leaving for the issuer and coming back."""

    state: str
    nonce: str
    verifier: str
    next: str
    expires_ms: int


class _Metadata(msgspec.Struct, frozen=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str = ""
    access_token: str = ""
    error: str = ""


class OidcClient:
    """What is known of the issuer: its document and its keys. Lives as long as the app; `now_s` is Unix time."""

    def __init__(self, transport: Transport, now_s: Callable[[], float]) -> None:
        self._transport = transport
        self._now_s = now_s
        self._known: tuple[str, float, _Metadata] | None = None
        self._keys: tuple[str, float, Any] | None = None
        self._asking = asyncio.Lock()

    async def authorization_url(self, settings: OidcSettings, redirect_uri: str, started: Started) -> str:
        """Where to send the browser. Raises OidcError where the issuer does not answer."""
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        known = await self._metadata(settings)
        address: str = prepare_grant_uri(
            known.authorization_endpoint,
            settings.client_id,
            "code",
            redirect_uri=redirect_uri,
            scope=SCOPE,
            state=started.state,
            nonce=started.nonce,
            code_challenge=create_s256_code_challenge(started.verifier),  # type: ignore[no-untyped-call]
            code_challenge_method="S256",
        )
        return address

    async def account(self, settings: OidcSettings, redirect_uri: str, started: Started, code: str) -> Account:
        """Whose code it is. Raises OidcError where the issuer refuses it or what it says is not good."""
        known = await self._metadata(settings)
        tokens = await self._exchange(settings, known, redirect_uri, started, code)
        claims = await self._claims(settings, known, tokens, started.nonce)
        if "email" not in claims and known.userinfo_endpoint and tokens.access_token:
            more = await self._userinfo(settings, known, tokens.access_token)
            # https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse: it may be another person's.
            if more.get("sub") == claims["sub"]:
                claims = {**more, **claims}
        # Some issuers say it in words: https://docs.aws.amazon.com/cognito/latest/developerguide/userinfo-endpoint.html
        is_verified = claims.get("email_verified") in (True, "true")
        email, name = claims.get("email"), claims.get("name")
        return Account(
            issuer=known.issuer,
            subject=str(claims["sub"]),
            email=email.strip().lower() if isinstance(email, str) and is_verified else "",
            name=name.strip()[:100] if isinstance(name, str) else "",
        )

    async def _exchange(
        self, settings: OidcSettings, known: _Metadata, redirect_uri: str, started: Started, code: str
    ) -> _Tokens:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": started.verifier,
        }
        headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"accept", b"application/json")]
        methods = known.token_endpoint_auth_methods_supported
        if not settings.client_secret:
            form["client_id"] = settings.client_id
        elif "client_secret_basic" in methods or "client_secret_post" not in methods:
            # https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1: each part is encoded as a form's value first.
            pair = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret, safe='')}"
            headers.append((b"authorization", b"Basic " + base64.b64encode(pair.encode())))
        else:
            form |= {"client_id": settings.client_id, "client_secret": settings.client_secret}
        status, body = await self._send(
            settings, known.token_endpoint, b"POST", tuple(headers), urlencode(form).encode()
        )
        tokens = _decoded(body, _Tokens, "the answer to the code")
        if status != 200 or not tokens.id_token:
            raise OidcError(f"The issuer does not take the code ({status} {tokens.error[:60]}). Sign in again.")
        return tokens

    async def _claims(self, settings: OidcSettings, known: _Metadata, tokens: _Tokens, nonce: str) -> Mapping[str, Any]:
        from authlib.oidc.core import CodeIDToken
        from joserfc.errors import JoseError

        token = await self._verified(settings, known, tokens.id_token)
        options = {
            "iss": {"essential": True, "value": known.issuer},
            "aud": {"essential": True, "value": settings.client_id},
        }
        params = {"nonce": nonce, "client_id": settings.client_id, "access_token": tokens.access_token}
        claims = CodeIDToken(token.claims, token.header, options, params)
        try:
            claims.validate(now=int(self._now_s()), leeway=LEEWAY_S)
        except JoseError as error:
            raise OidcError(f"What the issuer says of you is not good: {error}.") from None
        return dict(claims)

    async def _verified(self, settings: OidcSettings, known: _Metadata, id_token: str) -> Any:
        """The token, its signature checked. The issuer's keys are read again where it has new ones."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        for again in (False, True):
            keys = await self._key_set(settings, known, again=again)
            try:
                return jwt.decode(id_token, keys, algorithms=list(ALGORITHMS))
            except (JoseError, ValueError) as error:
                if again:
                    raise OidcError(
                        f"The signature of what the issuer says is not good ({type(error).__name__})."
                    ) from None
        raise AssertionError

    async def _key_set(self, settings: OidcSettings, known: _Metadata, *, again: bool) -> Any:
        now_s = self._now_s()
        kept_s = KEYS_AGAIN_S if again else KEPT_S
        if self._keys is not None and self._keys[0] == known.jwks_uri and now_s - self._keys[1] < kept_s:
            return self._keys[2]
        _, body = await self._send(settings, known.jwks_uri, b"GET", ((b"accept", b"application/json"),))
        keys = _imported(_decoded(body, dict[str, Any], "its keys"))
        self._keys = known.jwks_uri, now_s, keys
        return keys

    async def _userinfo(self, settings: OidcSettings, known: _Metadata, access_token: str) -> dict[str, Any]:
        headers = ((b"authorization", b"Bearer " + access_token.encode()), (b"accept", b"application/json"))
        status, body = await self._send(settings, known.userinfo_endpoint, b"GET", headers)
        return _decoded(body, dict[str, Any], "what it says of you") if status == 200 else {}

    async def _metadata(self, settings: OidcSettings) -> _Metadata:
        async with self._asking:
            known = self._known
            if known is not None and known[0] == settings.issuer and self._now_s() - known[1] < KEPT_S:
                return known[2]
            url = settings.issuer.rstrip("/") + DISCOVERY
            status, body = await self._send(settings, url, b"GET", ((b"accept", b"application/json"),))
            if status != 200:
                raise OidcError(f"The issuer does not describe itself at {url} ({status}).")
            found = _decoded(body, _Metadata, "its description")
            # https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationValidation
            if found.issuer != settings.issuer:
                raise OidcError(
                    f"The issuer calls itself {found.issuer[:200]}, not {settings.issuer}: correct [auth.oidc] issuer."
                )
            self._known = settings.issuer, self._now_s(), found
            return found

    async def _send(
        self,
        settings: OidcSettings,
        url: str,
        method: bytes,
        headers: tuple[tuple[bytes, bytes], ...],
        body: bytes = b"",
    ) -> tuple[int, bytes]:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = UpstreamRequest(
            _origin(url, settings.issuer),
            method,
            target.encode(),
            headers,
            body,
            first_byte_s=10.0,
            idle_s=10.0,
            total_s=15.0,
            idempotent=method == b"GET",
        )
        try:
            response = await self._transport.send(request)
            try:
                return response.status, await response.read(MAX_BYTES)
            finally:
                response.abort()
        except TransportError as error:
            raise OidcError(f"The issuer cannot be asked at {parts.hostname}: {error}.") from error


def may_join(settings: OidcSettings, email: str) -> bool:
    """Whether somebody with this verified address becomes a member without an invitation."""
    return bool(email) and (email in settings.admin_emails or email.rpartition("@")[2] in settings.allowed_domains)


def _origin(url: str, issuer: str) -> Origin:
    """Raises OidcError for an address without TLS, but for an issuer on this machine."""
    parts, own = urlsplit(url), urlsplit(issuer)
    is_own = (parts.scheme, parts.hostname, parts.port) == (own.scheme, own.hostname, own.port)
    if not parts.hostname or not (parts.scheme == "https" or is_own):
        raise OidcError(f"The issuer names an address without TLS: {url[:200]}.")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Origin(parts.scheme, parts.hostname, port, guarded=not is_own)


def _imported(document: Mapping[str, Any]) -> Any:
    """https://www.rfc-editor.org/rfc/rfc7517#section-5: keys of kinds that are not understood are ignored. Raises OidcError where none is left."""
    from joserfc.jwk import KeySet, import_key

    listed = document.get("keys")
    keys = []
    for one in listed if isinstance(listed, list) else []:
        # What is raised of one is the library's and its library's for the curve.
        with contextlib.suppress(Exception):
            keys.append(import_key(one))
    if not keys:
        raise OidcError("The issuer's keys cannot be read.")
    return KeySet(keys)


def _decoded(body: bytes, type_: type[Decoded], what: str) -> Decoded:
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise OidcError(f"The issuer answers what cannot be read as {what}.") from None
