"""Accounts that a credential opens: where it is looked for, what a request gets of it, and what surfaces of clouds want otherwise."""

import json
from pathlib import Path
from typing import Any

import pytest

from trunkline.catalog.load import load
from trunkline.catalog.schema import parse_layer
from trunkline.errors import ConfigError
from trunkline.execution.transport.types import UpstreamRequest
from trunkline.providers.accounts import Absent, Account, Written, endpoint, resolve
from trunkline.providers.authorise import authorised
from trunkline.providers.credential_files import found_credential
from trunkline.providers.google_tokens import GoogleCredential, GoogleTokens
from trunkline.providers.sigv4 import AwsCredential
from trunkline.providers.surfaces import PLAIN, fitted, surface_of

CATALOG = load()
USER = {"type": "authorized_user", "client_id": "id-1", "client_secret": "cs-1", "refresh_token": "rt-1"}
AWS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret-1", "AWS_REGION": "eu-west-1"}
VERTEX = "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4/publishers/anthropic"
INVOKE = "https://bedrock-runtime.eu-west-1.amazonaws.com/model"


def account(name: str, env: dict[str, str], **layer: Any) -> Account | Absent:
    layers = [parse_layer({"providers": {name: layer}}, "f").providers[name]] if layer else []
    catalog = load([parse_layer({"providers": {name: layer}}, "f")]) if layer else CATALOG
    return resolve(catalog.providers[name], Written(layers), env)


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    file = tmp_path / "adc.json"
    file.write_text(json.dumps({**USER, "quota_project_id": "acme-project"}))
    return file


def test_a_file_that_the_usual_variable_names_opens_vertex_and_gives_the_project(user_file: Path) -> None:
    env = {"GOOGLE_APPLICATION_CREDENTIALS": str(user_file), "GOOGLE_CLOUD_LOCATION": "europe-west4"}
    found = account("vertex", env)
    assert isinstance(found, Account)
    assert found.keys == ()
    assert isinstance(found.credential, GoogleCredential)
    assert "/projects/acme-project/" in found.base_urls["gemini"]


def test_a_project_that_is_given_wins_over_that_of_the_file(user_file: Path) -> None:
    env = {"GOOGLE_APPLICATION_CREDENTIALS": str(user_file), "GOOGLE_CLOUD_LOCATION": "global"}
    found = account("vertex", {**env, "GOOGLE_CLOUD_PROJECT": "other"})
    assert isinstance(found, Account)
    assert found.base_urls["gemini"].startswith("https://aiplatform.googleapis.com/v1/projects/other/")


def test_what_gcloud_left_is_found(tmp_path: Path, user_file: Path) -> None:
    home = tmp_path / "home"
    folder = home / ".config" / "gcloud"
    folder.mkdir(parents=True)
    (folder / "application_default_credentials.json").write_bytes(user_file.read_bytes())
    assert found_credential("google", "", {"HOME": str(home)}, "w") is not None
    assert found_credential("google", "", {"CLOUDSDK_CONFIG": str(folder)}, "w") is not None
    assert found_credential("google", "", {"HOME": str(tmp_path)}, "w") is None
    assert found_credential("google", "~/.config/gcloud/application_default_credentials.json", {"HOME": str(home)}, "w")


VERTEX_ENV = {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "global"}


def test_the_machines_own_account_is_taken_only_where_it_is_asked_for() -> None:
    found = account("vertex", VERTEX_ENV, credentials="metadata")
    assert isinstance(found, Account)
    assert isinstance(found.credential, GoogleCredential)
    assert (found.credential.kind, found.keys) == ("metadata", ())
    assert isinstance(account("vertex", VERTEX_ENV), Absent)
    assert isinstance(account("vertex", {**VERTEX_ENV, "GCE_METADATA_HOST": "169.254.169.254"}), Absent)


def test_a_key_goes_before_a_credential_of_the_environment_and_behind_a_written_file(user_file: Path) -> None:
    env = {"GOOGLE_APPLICATION_CREDENTIALS": str(user_file), "GOOGLE_CLOUD_LOCATION": "global"}
    env |= {"GOOGLE_OAUTH_ACCESS_TOKEN": "ya29.own", "GOOGLE_CLOUD_PROJECT": "p"}
    keyed, filed = account("vertex", env), account("vertex", env, credentials=str(user_file))
    assert isinstance(keyed, Account)
    assert isinstance(filed, Account)
    assert (keyed.keys, keyed.credential) == (("ya29.own",), None)
    assert filed.keys == ()
    assert filed.credential is not None


def test_an_access_key_opens_bedrock() -> None:
    found = account("bedrock", {**AWS, "AWS_SESSION_TOKEN": "st-1"})
    assert isinstance(found, Account)
    assert found.credential == AwsCredential(
        access_key_id="AKIDEXAMPLE", secret_access_key="secret-1", session_token="st-1"
    )
    assert found.region == "eu-west-1"
    assert "secret-1" not in repr(found)


def test_a_file_of_aws_is_read_by_profile(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "[default]\naws_access_key_id = A\naws_secret_access_key = b%c\n[work]\naws_access_key_id = W\naws_secret_access_key = x\n"
    )
    found = found_credential("aws", str(file), {}, "w")
    assert found == AwsCredential(access_key_id="A", secret_access_key="b%c")
    other = found_credential("aws", str(file), {"AWS_PROFILE": "work"}, "w")
    assert isinstance(other, AwsCredential)
    assert other.access_key_id == "W"
    with pytest.raises(ConfigError, match="no access key in \\[none\\]"):
        found_credential("aws", str(file), {"AWS_PROFILE": "none"}, "w")


@pytest.mark.parametrize(
    ("name", "env", "reason"),
    [
        ("vertex", {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "l"}, "GOOGLE_OAUTH_ACCESS_TOKEN or GOOGLE_APPLICATION_CREDENTIALS"),
        ("bedrock", {"AWS_REGION": "r"}, "AWS_BEARER_TOKEN_BEDROCK or AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY"),
        ("vertex", {"GOOGLE_APPLICATION_CREDENTIALS": "/none"}, "/none cannot be read"),
        ("openai", {}, "set OPENAI_API_KEY"),
    ],
)  # fmt: skip
def test_what_is_missing_is_told(name: str, env: dict[str, str], reason: str) -> None:
    found = account(name, env)
    assert isinstance(found, Absent)
    assert reason in found.reason


def test_a_file_for_a_provider_that_takes_none_is_told() -> None:
    found = account("openai", {}, credentials="/etc/key")
    assert isinstance(found, Absent)
    assert "put a key into `api_key`" in found.reason


class TokenServer:
    async def send(self, request: UpstreamRequest) -> "TokenServer":
        return self

    status = 200

    async def read(self, limit_bytes: int) -> bytes:
        return b'{"access_token": "ya29.x"}'

    async def aclose(self) -> None: ...


async def headers_of(found: Account, offer_id: str, protocol: str, body: bytes = b"{}") -> dict[bytes, bytes]:
    slug, _, name = offer_id.rpartition(":")
    offer = next(offer for offer in CATALOG.models[slug].offers if offer.provider == name)
    where = endpoint(found, offer, protocol, None)
    tokens = GoogleTokens(TokenServer(), lambda: 0.0)
    return dict(await authorised(found, where, where.headers, body, tokens=tokens, unix_s=lambda: 1_795_512_600.0))


async def test_a_request_to_vertex_bears_a_token(user_file: Path) -> None:
    found = account("vertex", {"GOOGLE_APPLICATION_CREDENTIALS": str(user_file), "GOOGLE_CLOUD_LOCATION": "global"})
    assert isinstance(found, Account)
    headers = await headers_of(found, "google/gemini-3.8-flash:vertex", "gemini")
    assert headers[b"authorization"] == b"Bearer ya29.x"


async def test_a_request_to_bedrock_is_signed_for_its_service() -> None:
    found = account("bedrock", AWS)
    assert isinstance(found, Account)
    runtime = await headers_of(found, "anthropic/claude-opus-5.5:bedrock", "anthropic.messages")
    mantle = await headers_of(found, "openai/gpt-6.1-sol:bedrock", "openai.responses")
    assert b"Credential=AKIDEXAMPLE/20261124/eu-west-1/bedrock/aws4_request" in runtime[b"authorization"]
    assert b"SignedHeaders=anthropic-version;content-type;host;x-amz-date" in runtime[b"authorization"]
    assert b"/eu-west-1/bedrock-mantle/aws4_request" in mantle[b"authorization"]
    converse = await headers_of(found, "amazon/nova-pro:bedrock", "bedrock.converse")
    assert b"Credential=AKIDEXAMPLE/20261124/eu-west-1/bedrock/aws4_request" in converse[b"authorization"]
    assert runtime != await headers_of(found, "anthropic/claude-opus-5.5:bedrock", "anthropic.messages", b"{ }")


async def test_a_request_with_a_key_is_left_alone() -> None:
    found = account("bedrock", {**AWS, "AWS_BEARER_TOKEN_BEDROCK": "bk-1"})
    assert isinstance(found, Account)
    assert found.credential is None
    assert b"authorization" not in await headers_of(found, "anthropic/claude-opus-5.5:bedrock", "anthropic.messages")


def test_vertex_has_the_version_of_claude_in_the_body_and_the_model_in_the_path() -> None:
    body, headers = fitted(surface_of(VERTEX, "anthropic.messages"), b'{"model":"c","stream":true,"n":1.50}')
    assert body == b'{"stream":true,"n":1.50,"anthropic_version":"vertex-2023-10-16"}'
    assert headers == ()


def test_invoke_has_neither_model_nor_stream_in_the_body_but_betas() -> None:
    surface = surface_of(INVOKE, "anthropic.messages")
    given = ((b"Anthropic-Beta", b"a-1, b-2"), (b"x", b"y"))
    body, headers = fitted(surface, b'{"model":"c","stream":true,"max_tokens":5}', given)
    assert json.loads(body) == {
        "max_tokens": 5,
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["a-1", "b-2"],
    }
    assert headers == ((b"x", b"y"),)
    assert surface.framing == "eventstream"


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("https://api.anthropic.com", "anthropic.messages"),
        (VERTEX, "gemini"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com/anthropic", "anthropic.messages"),
        (INVOKE, "openai.chat"),
    ],
)
def test_everywhere_else_the_body_stays_as_it_is(url: str, protocol: str) -> None:
    assert surface_of(url, protocol) is PLAIN
    assert fitted(PLAIN, b'{ "model": "c" }') == (b'{ "model": "c" }', ())
