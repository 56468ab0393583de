"""From base URL and protocol to the address that is called."""

import pytest

from trunkline.catalog.load import load
from trunkline.catalog.types import Provider
from trunkline.errors import ConfigError
from trunkline.providers.urls import call_url, ends_in_version, fill, placeholders, request_url

ADDRESSES = [
    ("http://127.0.0.1:9001", "openai.chat", "http://127.0.0.1:9001/v1/chat/completions"),
    ("http://127.0.0.1:9001/", "openai.chat", "http://127.0.0.1:9001/v1/chat/completions"),
    ("http://127.0.0.1:9001/v1", "openai.chat", "http://127.0.0.1:9001/v1/chat/completions"),
    ("http://127.0.0.1:9001/v1/", "openai.responses", "http://127.0.0.1:9001/v1/responses"),
    ("http://127.0.0.1:9001", "openai.responses", "http://127.0.0.1:9001/v1/responses"),
    ("http://127.0.0.1:9001", "anthropic.messages", "http://127.0.0.1:9001/v1/messages"),
    ("http://127.0.0.1:9001/v1", "anthropic.messages", "http://127.0.0.1:9001/v1/messages"),
    ("http://127.0.0.1:9001", "gemini", "http://127.0.0.1:9001/v1beta/models/m-1:generateContent"),
    ("https://api.z.ai/api/paas/v4", "openai.chat", "https://api.z.ai/api/paas/v4/chat/completions"),
    ("https://acme.example/v1beta", "gemini", "https://acme.example/v1beta/models/m-1:generateContent"),
    ("https://acme.example/v1beta/openai", "openai.chat", "https://acme.example/v1beta/openai/chat/completions"),
    ("https://acme.example/openai", "openai.chat", "https://acme.example/openai/v1/chat/completions"),
    ("https://acme.example/openai/v1?api-version=preview", "openai.chat", "https://acme.example/openai/v1/chat/completions?api-version=preview"),
    (
        "https://acme.example/openai/deployments/{model}?api-version=2024-10-21",
        "openai.chat",
        "https://acme.example/openai/deployments/m-1/chat/completions?api-version=2024-10-21",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("base_url", "protocol", "address"), ADDRESSES)
def test_the_version_stands_in_the_address_exactly_once(base_url: str, protocol: str, address: str) -> None:
    assert request_url(base_url, protocol, "m-1") == address


@pytest.mark.parametrize("path", ["/v1", "/a/v4", "/v1beta", "/v1alpha2", "/v1/openai", "/v1/p/endpoints/openapi"])
def test_a_version_at_the_end_is_seen(path: str) -> None:
    assert ends_in_version(path)


@pytest.mark.parametrize("path", ["", "/", "/api", "/v1/api", "/vendor", "/version1", "/v", "/openai", "/v1x"])
def test_anything_else_at_the_end_is_no_version(path: str) -> None:
    assert not ends_in_version(path)


def test_a_gemini_stream_is_another_operation() -> None:
    url = request_url("https://acme.example", "gemini", "m-1", operation="streamGenerateContent")
    assert url == "https://acme.example/v1beta/models/m-1:streamGenerateContent"


def test_a_model_with_odd_characters_stays_one_segment_of_a_deployment() -> None:
    assert "/deployments/a%2Fb%3Fc/" in request_url("https://acme.example/deployments/{model}", "openai.chat", "a/b?c")


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(ConfigError, match=r"openai\.chatt.*openai\.chat"):
        request_url("https://acme.example", "openai.chatt")


def test_the_endpoint_of_azure_comes_from_its_variable() -> None:
    azure = load().providers["azure"]
    url, missing = fill(
        azure.base_urls["openai.chat"], azure, {"AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com/"}
    )
    assert (url, missing) == ("https://acme.openai.azure.com/openai/v1", ())


def test_what_is_missing_is_named_by_the_variable_that_would_bring_it() -> None:
    azure = load().providers["azure"]
    assert fill(azure.base_urls["openai.chat"], azure, {})[1] == ("AZURE_OPENAI_ENDPOINT",)


def test_an_azure_resource_stands_for_its_endpoint() -> None:
    provider = Provider("azure", "Azure", vars={"resource": "acme"})
    assert fill("{endpoint}/openai/v1", provider, {})[0] == "https://acme.openai.azure.com/openai/v1"


@pytest.mark.parametrize(
    ("location", "host"),
    [("global", "aiplatform.googleapis.com"), ("europe-west4", "europe-west4-aiplatform.googleapis.com")],
)
def test_the_global_location_of_vertex_has_no_prefix(location: str, host: str) -> None:
    vertex = load().providers["vertex"]
    env = {"GOOGLE_CLOUD_PROJECT": "acme", "GOOGLE_CLOUD_LOCATION": location}
    url, missing = fill(vertex.base_urls["openai.chat"], vertex, env)
    assert not missing
    assert url == f"https://{host}/v1/projects/acme/locations/{location}/endpoints/openapi"


def test_a_missing_location_is_named_once_by_its_variable() -> None:
    vertex = load().providers["vertex"]
    missing = fill(vertex.base_urls["openai.chat"], vertex, {"GOOGLE_CLOUD_PROJECT": "acme"})[1]
    assert set(missing) == {"GOOGLE_CLOUD_LOCATION"}


def test_the_operators_value_goes_before_the_variable() -> None:
    provider = Provider("p", "P", variables={"region": "AWS_REGION"}, vars={"region": "eu-west-1"})
    assert (
        fill("https://x.{region}.example/v1", provider, {"AWS_REGION": "us-east-1"})[0]
        == "https://x.eu-west-1.example/v1"
    )


def test_the_model_is_no_value_that_an_operator_sets() -> None:
    assert placeholders("https://{region}.example/deployments/{model}") == ("region",)


VERTEX = "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4/publishers"
CALLS = [
    ("https://acme.example", "gemini", "m-1", True, "https://acme.example/v1beta/models/m-1:streamGenerateContent?alt=sse"),
    ("https://acme.example", "gemini", "models/m-1", False, "https://acme.example/v1beta/models/m-1:generateContent"),
    ("https://acme.example/v1beta?k=v", "gemini", "m-1", True, "https://acme.example/v1beta/models/m-1:streamGenerateContent?k=v&alt=sse"),
    (f"{VERTEX}/google", "gemini", "google/m-1", False, f"{VERTEX}/google/models/m-1:generateContent"),
    (f"{VERTEX}/anthropic", "anthropic.messages", "claude-x@20250929", False, f"{VERTEX}/anthropic/models/claude-x@20250929:rawPredict"),
    (f"{VERTEX}/anthropic", "anthropic.messages", "claude-x", True, f"{VERTEX}/anthropic/models/claude-x:streamRawPredict"),
    ("https://acme.example/model", "anthropic.messages", "us.claude:0", False, "https://acme.example/model/us.claude%3A0/invoke"),
    ("https://acme.example/model", "anthropic.messages", "c", True, "https://acme.example/model/c/invoke-with-response-stream"),
    ("https://acme.example", "anthropic.messages", "c", True, "https://acme.example/v1/messages"),
    ("https://acme.example/openai?api-version=2025-04-01-preview", "openai.responses", "d", True, "https://acme.example/openai/responses?api-version=2025-04-01-preview"),
]  # fmt: skip


@pytest.mark.parametrize(("base_url", "protocol", "model", "stream", "address"), CALLS)
def test_a_call_goes_where_its_protocol_and_surface_have_it(base_url, protocol, model, stream, address) -> None:
    assert call_url(base_url, protocol, model, stream=stream) == address


@pytest.mark.parametrize(
    ("base_url", "protocol", "address"),
    [
        ("https://acme.example", "anthropic.messages", "https://acme.example/v1/messages/count_tokens"),
        ("https://acme.example/v1?a=b", "anthropic.messages", "https://acme.example/v1/messages/count_tokens?a=b"),
        ("https://acme.example", "gemini", "https://acme.example/v1beta/models/m:countTokens"),
        (f"{VERTEX}/anthropic", "anthropic.messages", f"{VERTEX}/anthropic/models/count-tokens:rawPredict"),
    ],
)
def test_tokens_are_counted_at_an_address_of_their_own(base_url: str, protocol: str, address: str) -> None:
    assert call_url(base_url, protocol, "m", count=True) == address


@pytest.mark.parametrize(
    "base_url",
    ["https://bedrock-runtime.eu-west-1.amazonaws.com", "https://bedrock-runtime.eu-west-1.amazonaws.com/model/"],
)
@pytest.mark.parametrize(("stream", "operation"), [(False, "converse"), (True, "converse-stream")])
def test_converse_has_the_model_in_its_path_as_one_segment(base_url: str, stream: bool, operation: str) -> None:
    root = "https://bedrock-runtime.eu-west-1.amazonaws.com/model"
    for model, segment in (
        ("us.amazon.nova-pro-v1:0", "us.amazon.nova-pro-v1%3A0"),
        (
            "arn:aws:bedrock:eu-west-1:1:inference-profile/x",
            "arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fx",
        ),
    ):
        assert call_url(base_url, "bedrock.converse", model, stream=stream) == f"{root}/{segment}/{operation}"
