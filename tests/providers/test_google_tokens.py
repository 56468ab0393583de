"""Tokens of Google: what is signed and sent, that one fetch serves all, and that nothing of a key is shown."""

import asyncio
import base64
import json
from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.fakes.raw_peer import peer_saying
from trunkline.errors import ConfigError
from trunkline.execution.transport.client import HttpTransport
from trunkline.execution.transport.options import TransportOptions
from trunkline.execution.transport.types import UpstreamRequest
from trunkline.providers.google_tokens import (
    GoogleCredential,
    GoogleTokens,
    TokenRefused,
    credential_of,
    metadata_credential,
)

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
FILE = {
    "type": "service_account",
    "project_id": "acme-project",
    "private_key_id": "kid-1",
    "private_key": PEM,
    "client_email": "gateway@acme-project.iam.gserviceaccount.example",
    "token_uri": "https://oauth2.googleapis.com/token",
}
USER = {"type": "authorized_user", "client_id": "id-1", "client_secret": "cs-1", "refresh_token": "rt-1"}


class Answer:
    def __init__(self, status: int, body: bytes) -> None:
        self.status, self._body = status, body
        self.headers: list[tuple[bytes, bytes]] = []

    async def read(self, limit_bytes: int) -> bytes:
        return self._body


class TokenServer:
    """The network edge: notes what is sent, and answers when it is let."""

    def __init__(self) -> None:
        self.sent: list[UpstreamRequest] = []
        self.open = asyncio.Event()
        self.open.set()
        self.answer: tuple[int, object] | None = None

    async def send(self, request: UpstreamRequest) -> Answer:
        self.sent.append(request)
        await self.open.wait()
        status, body = self.answer or (200, {"access_token": f"ya29.{len(self.sent)}", "expires_in": 3600})
        return Answer(status, json.dumps(body).encode())

    async def aclose(self) -> None: ...

    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.sent[-1].body.decode()).items()}


class Clock:
    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


def account() -> GoogleCredential:
    return credential_of(json.dumps(FILE).encode(), "sa.json")


def parts(jwt: str) -> Iterator[bytes]:
    for part in jwt.split("."):
        yield base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def test_a_service_account_signs_for_its_token() -> None:
    server = TokenServer()
    assert await GoogleTokens(server, Clock()).token(account()) == "ya29.1"
    request, form = server.sent[0], server.form()
    assert (request.origin.host, request.origin.port, request.target) == ("oauth2.googleapis.com", 443, b"/token")
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, claims, signature = parts(form["assertion"])
    assert json.loads(head) == {"alg": "RS256", "typ": "JWT", "kid": "kid-1"}
    assert json.loads(claims) == {
        "iss": FILE["client_email"],
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": FILE["token_uri"],
        "iat": 1_800_000_000,
        "exp": 1_800_003_600,
    }
    signed = form["assertion"].rpartition(".")[0].encode()
    KEY.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())


async def test_a_user_sends_the_refresh_token() -> None:
    server = TokenServer()
    await GoogleTokens(server, Clock()).token(credential_of(json.dumps(USER).encode(), "adc.json"))
    assert server.form() == {
        "grant_type": "refresh_token",
        "client_id": "id-1",
        "client_secret": "cs-1",
        "refresh_token": "rt-1",
    }


async def test_one_fetch_serves_all_who_wait_and_those_who_come_later() -> None:
    server = TokenServer()
    server.open.clear()
    tokens = GoogleTokens(server, Clock())
    waiting = [asyncio.create_task(tokens.token(account())) for _ in range(20)]
    await asyncio.sleep(0)
    server.open.set()
    assert set(await asyncio.gather(*waiting)) == {"ya29.1"} == {await tokens.token(account())}
    assert len(server.sent) == 1


async def test_who_leaves_does_not_take_the_token_away_from_the_others() -> None:
    server = TokenServer()
    server.open.clear()
    tokens = GoogleTokens(server, Clock())
    first, second = (asyncio.create_task(tokens.token(account())) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    server.open.set()
    assert await second == "ya29.1"
    assert len(server.sent) == 1


async def test_a_token_is_renewed_behind_those_who_can_still_use_it() -> None:
    server, clock = TokenServer(), Clock()
    tokens = GoogleTokens(server, clock)
    await tokens.token(account())
    clock.now_s += 3600 - 200
    server.open.clear()
    assert [await tokens.token(account()) for _ in range(3)] == ["ya29.1"] * 3
    server.open.set()
    clock.now_s += 200
    assert await tokens.token(account()) == "ya29.2"
    assert len(server.sent) == 2


async def test_a_renewal_that_fails_is_tried_again_and_harms_nobody_before_the_end() -> None:
    server, clock = TokenServer(), Clock()
    tokens = GoogleTokens(server, clock)
    await tokens.token(account())
    clock.now_s += 3600 - 200
    server.answer = (503, {})
    assert await tokens.token(account()) == "ya29.1"
    clock.now_s += 200
    with pytest.raises(TokenRefused):
        await tokens.token(account())
    server.answer = None
    assert await tokens.token(account()) == f"ya29.{len(server.sent)}"


async def test_a_refusal_is_told_in_the_servers_words_and_without_the_key() -> None:
    server = TokenServer()
    server.answer = (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
    with pytest.raises(TokenRefused, match="400 invalid_grant: Invalid JWT Signature") as caught:
        await GoogleTokens(server, Clock()).token(account())
    assert "PRIVATE KEY" not in str(caught.value)


@pytest.mark.parametrize("body", [{}, {"access_token": ""}, [], "text"])
async def test_an_answer_without_a_token_is_a_refusal(body: object) -> None:
    server = TokenServer()
    server.answer = (200, body)
    with pytest.raises(TokenRefused):
        await GoogleTokens(server, Clock()).token(account())


async def test_closing_leaves_no_fetch_behind() -> None:
    server = TokenServer()
    server.open.clear()
    tokens = GoogleTokens(server, Clock())
    waiting = asyncio.create_task(tokens.token(account()))
    await asyncio.sleep(0)
    await tokens.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_key_that_cannot_sign_is_told_without_it() -> None:
    broken = credential_of(json.dumps({**FILE, "private_key": "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n"}).encode(), "f")
    with pytest.raises(ConfigError, match="download it anew") as caught:
        await GoogleTokens(TokenServer(), Clock()).token(broken)
    assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "mend"),
    [
        (b"not json", "download the service account's JSON key"),
        (b'{"type": "service_account", "client_email": "a"}', "lacks its key"),
        (b'{"type": "external_account"}', "'external_account'"),
        (b"{}", "no type"),
        (json.dumps({**FILE, "token_uri": "http://evil.example/token"}).encode(), "not https"),
    ],
)
def test_a_file_that_is_no_credential_is_told_with_the_mend(content: bytes, mend: str) -> None:
    with pytest.raises(ConfigError, match=mend) as caught:
        credential_of(content, "sa.json")
    assert str(caught.value).startswith("sa.json: ")


def test_no_text_of_a_credential_has_its_secret() -> None:
    for file in (FILE, USER):
        shown = repr(credential_of(json.dumps(file).encode(), "f"))
        assert not any(secret in shown for secret in ("PRIVATE", "cs-1", "rt-1"))


def metadata_says(body: bytes, head: bytes = b"Metadata-Flavor: Google\r\n") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


TOKEN = b'{"access_token":"ya29.m","expires_in":3599,"token_type":"Bearer"}'


async def test_the_machines_own_account_has_its_token_from_the_metadata_server() -> None:
    async with peer_saying(metadata_says(TOKEN)) as peer:
        transport = HttpTransport(TransportOptions())
        credential = metadata_credential(f"127.0.0.1:{peer.port}")
        assert await GoogleTokens(transport, Clock()).token(credential) == "ya29.m"
        await transport.aclose()
    line, *headers = peer.heads[0].decode().splitlines()
    assert line == "GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1"
    assert "metadata-flavor: google" in [header.lower() for header in headers]


async def test_who_does_not_answer_as_googles_metadata_server_is_not_believed() -> None:
    async with peer_saying(metadata_says(TOKEN, b"")) as peer:
        transport = HttpTransport(TransportOptions())
        with pytest.raises(TokenRefused, match="no metadata server"):
            await GoogleTokens(transport, Clock()).token(metadata_credential(f"127.0.0.1:{peer.port}"))
        await transport.aclose()


@pytest.mark.parametrize(("host", "is_metadata"), [("", True), ("169.254.169.254", True), ("127.0.0.1:8080", False)])
async def test_only_the_metadata_server_itself_is_let_through_the_guard(host: str, is_metadata: bool) -> None:
    server = TokenServer()
    with pytest.raises(TokenRefused):
        await GoogleTokens(server, Clock()).token(metadata_credential(host))
    origin = server.sent[0].origin
    assert (origin.scheme, origin.metadata) == ("http", is_metadata)
    assert origin.host == (host.partition(":")[0] or "metadata.google.internal")
