"""Access tokens of Google for Vertex AI. In: a credential file (service account, or what `gcloud auth application-default login` leaves), or the
operator's word that the machine's own account is meant. Out: tokens.

A token is fetched once for all who wait, kept until shortly before its end, and renewed behind those who can still use the old one.
https://developers.google.com/identity/protocols/oauth2/service-account#httprest, https://google.aip.dev/auth/4110
"""

import asyncio
import base64
from collections.abc import Callable, Iterator
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import msgspec

from trunkline.errors import ConfigError, TransportError
from trunkline.execution.transport.types import Transport, UpstreamRequest
from trunkline.providers.discreet import Discreet
from trunkline.providers.origins import origin_of

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
METADATA_HOST = "metadata.google.internal"
METADATA_ADDRESSES = ("169.254.169.254", "fd20:ce::254")
METADATA_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
"""https://docs.cloud.google.com/compute/docs/access/authenticate-workloads#applications"""
_FLAVOR = (b"metadata-flavor", b"Google")
"""Who asks says it, against forged requests, and so does the server, against others that answer in its place."""
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105
LIFETIME_S = 3600
RENEW_BEFORE_S = 300
"""A token that ends sooner is renewed. Google keeps a token until about then, so asking earlier gives the same one."""
MAX_ANSWER_BYTES = 64 * 1024


class TokenRefused(TransportError):
    """The token server does not know the credential, or did not answer as one."""

    kind = "credentials"


class GoogleCredential(Discreet, frozen=True, kw_only=True):
    """Who asks for tokens."""

    kind: Literal["service_account", "authorized_user", "metadata"]
    id: str
    """The account's address, or the OAuth client's id: what may be shown."""
    secret: str
    """The private key in PEM form, or the client's secret."""
    key_id: str = ""
    refresh_token: str = ""
    token_url: str = TOKEN_URL
    project: str = ""

    def _shown(self) -> Iterator[tuple[str, Any]]:
        yield "kind", self.kind
        yield "id", self.id


def metadata_credential(host: str = "") -> GoogleCredential:
    """The account that the machine runs as (Compute Engine, GKE, Cloud Run). `host` is another than the usual one, as Google's own libraries take
    it from `GCE_METADATA_HOST`."""
    return GoogleCredential(
        kind="metadata",
        id="the machine's own account",
        secret="",
        token_url=f"http://{host or METADATA_HOST}{METADATA_PATH}",
    )


class _File(msgspec.Struct):
    type: str = ""
    client_email: str = ""
    private_key: str = ""
    private_key_id: str = ""
    token_uri: str = TOKEN_URL
    project_id: str = ""
    quota_project_id: str = ""
    client_id: str = ""
    client_secret: str = ""
    refresh_token: str = ""


class _Answer(msgspec.Struct):
    access_token: str = ""
    expires_in: float = LIFETIME_S
    error: str = ""
    error_description: str = ""


def credential_of(text: bytes, where: str) -> GoogleCredential:
    """Of a credential file's content. Raises ConfigError with the mend; nothing of the content is repeated."""
    try:
        file = msgspec.json.decode(text, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ConfigError(
            "is no credential file of Google: download the service account's JSON key", where=where
        ) from None
    if file.type == "service_account" and file.client_email and file.private_key:
        return GoogleCredential(
            kind="service_account",
            id=file.client_email,
            secret=file.private_key,
            key_id=file.private_key_id,
            token_url=_checked(file.token_uri, where),
            project=file.project_id,
        )
    if file.type == "authorized_user" and file.client_id and file.refresh_token:
        return GoogleCredential(
            kind="authorized_user",
            id=file.client_id,
            secret=file.client_secret,
            refresh_token=file.refresh_token,
            project=file.quota_project_id,
        )
    said = f"the type {file.type!r}" if file.type else "no type"
    raise ConfigError(
        f"has {said}, or lacks its key: give the JSON key of a service account, or what `gcloud auth application-default login` wrote",
        where=where,
    )


def _checked(token_url: str, where: str) -> str:
    """The file says where its own key is sent: over TLS, or to this machine."""
    parts = urlsplit(token_url)
    if parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost"):
        return token_url
    raise ConfigError("its `token_uri` is not https: take the file as Google made it", where=where)


def assertion(credential: GoogleCredential, now_s: int) -> str:
    """The signed JWT that a service account is exchanged for a token with. Raises ConfigError where the key cannot sign."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(credential.secret.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError("has a `private_key` that cannot be read: download it anew", where=credential.id)
    head = {"alg": "RS256", "typ": "JWT", **({"kid": credential.key_id} if credential.key_id else {})}
    claims = {
        "iss": credential.id,
        "scope": SCOPE,
        "aud": credential.token_url,
        "iat": now_s,
        "exp": now_s + LIFETIME_S,
    }
    signed = _base64url(msgspec.json.encode(head)) + b"." + _base64url(msgspec.json.encode(claims))
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return (signed + b"." + _base64url(signature)).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class _Held(msgspec.Struct, frozen=True):
    token: str
    until_s: float


class GoogleTokens:
    """Tokens by credential, for the life of the process. `unix_s` is the world's clock."""

    def __init__(self, transport: Transport, unix_s: Callable[[], float]) -> None:
        self._transport = transport
        self._unix_s = unix_s
        self._held: dict[GoogleCredential, _Held] = {}
        self._fetching: dict[GoogleCredential, asyncio.Task[_Held]] = {}

    async def token(self, credential: GoogleCredential) -> str:
        """One that holds for a while. Raises TransportError where there is none, ConfigError where the key cannot sign."""
        held, now_s = self._held.get(credential), self._unix_s()
        if held is not None and now_s < held.until_s - RENEW_BEFORE_S:
            return held.token
        fetching = self._fetching.get(credential) or self._fetch(credential)
        if held is not None and now_s < held.until_s:
            return held.token
        # Who leaves does not take the token away from those who wait with them.
        return (await asyncio.shield(fetching)).token

    async def aclose(self) -> None:
        """No fetch is left over."""
        fetching = list(self._fetching.values())
        for task in fetching:
            task.cancel()
        await asyncio.gather(*fetching, return_exceptions=True)

    def _fetch(self, credential: GoogleCredential) -> "asyncio.Task[_Held]":
        task = self._fetching[credential] = asyncio.create_task(self._exchange(credential))

        def keep(done: "asyncio.Task[_Held]") -> None:
            del self._fetching[credential]
            if not done.cancelled() and done.exception() is None:
                self._held[credential] = done.result()

        task.add_done_callback(keep)
        return task

    async def _exchange(self, credential: GoogleCredential) -> _Held:
        asked_s = self._unix_s()
        response = await self._transport.send(self._request(credential, int(asked_s)))
        answer = _answer_of(await response.read(MAX_ANSWER_BYTES))
        if response.status != 200 or not answer.access_token:
            told = ": ".join(part for part in (answer.error, answer.error_description) if part)[:200]
            raise TokenRefused(f"no token for {credential.id}: {response.status} {told}".rstrip())
        if credential.kind == "metadata" and _FLAVOR not in [(name.lower(), value) for name, value in response.headers]:
            raise TokenRefused(f"no token for {credential.id}: who answered is no metadata server of Google's")
        return _Held(answer.access_token, asked_s + answer.expires_in)

    def _request(self, credential: GoogleCredential, now_s: int) -> UpstreamRequest:
        if credential.kind == "metadata":
            return _metadata_request(credential.token_url)
        if credential.kind == "service_account":
            grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
            form = {"grant_type": grant, "assertion": assertion(credential, now_s)}
        else:
            form = {
                "grant_type": "refresh_token",
                "client_id": credential.id,
                "client_secret": credential.secret,
                "refresh_token": credential.refresh_token,
            }
        return _token_request(credential.token_url, form)


def _token_request(url: str, form: dict[str, str]) -> UpstreamRequest:
    return UpstreamRequest(
        origin_of(url, trusted=False),
        b"POST",
        urlsplit(url).path.encode(),
        ((b"content-type", b"application/x-www-form-urlencoded"), (b"accept", b"application/json")),
        urlencode(form).encode(),
        first_byte_s=15.0,
        idle_s=15.0,
        total_s=30.0,
        idempotent=True,
    )


def _metadata_request(url: str) -> UpstreamRequest:
    """Of the usual host only its own addresses are good; another one that the operator named may be a private one."""
    origin = origin_of(url, trusted=True)
    if origin.host in (METADATA_HOST, *METADATA_ADDRESSES):
        origin = msgspec.structs.replace(origin, metadata=True)
    headers = (_FLAVOR, (b"accept", b"application/json"))
    target = urlsplit(url).path.encode()
    return UpstreamRequest(
        origin, b"GET", target, headers, b"", first_byte_s=15.0, idle_s=15.0, total_s=30.0, idempotent=True
    )


def _answer_of(body: bytes) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Answer()
