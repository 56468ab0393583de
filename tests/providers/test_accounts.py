"""How a provider is reached: which key, which headers, which address; and that nothing of it is shown."""

from typing import Any

import pytest
from rich.pretty import pretty_repr

from trunkline.catalog.load import load
from trunkline.catalog.schema import CatalogLayer, parse_layer
from trunkline.catalog.types import Catalog, Provider
from trunkline.providers.accounts import Absent, Account, Endpoint, Written, auth_of, endpoint, resolve, with_headers

SECRET = "sk-very-secret-0123456789"
URL = "https://llm.acme.example/v1"


def acme(**fields: Any) -> tuple[Catalog, CatalogLayer]:
    offer = {"provider": "acme", "protocols": ["openai.chat"]}
    raw = {
        "providers": {"acme": {"base_url": URL, "key_env": ["ACME_KEY"], **fields}},
        "models": [{"slug": "acme/a", "offers": [offer]}],
    }
    layer = parse_layer(raw, "trunkline.toml")
    return load([layer], shipped=False), layer


def account(key: str = "", headers: dict[str, str] | None = None, **fields: Any) -> Account | Absent:
    catalog, layer = acme(**fields)
    env = {"ACME_KEY": key} if key else {}
    return resolve(catalog.providers["acme"], Written([layer.providers["acme"]], headers=headers), env)


def reached(key: str = SECRET, headers: dict[str, str] | None = None, **fields: Any) -> Endpoint:
    catalog, _ = acme(**fields)
    found = account(key, headers, **fields)
    assert isinstance(found, Account)
    return endpoint(found, catalog.models["acme/a"].offers[0], "openai.chat", found.keys[0])


@pytest.mark.parametrize("auth", ["bearer", "header:x-acme-key", "query:key"])
@pytest.mark.parametrize("show", [repr, str, pretty_repr, "{}".format], ids=["repr", "str", "rich", "format"])
def test_no_key_is_in_any_text_of_an_account_or_an_endpoint(auth, show) -> None:
    headers = {"x-tenant": f"{SECRET}-too"}
    found = account(SECRET, headers, auth=auth)
    made = reached(SECRET, headers, auth=auth)
    written = Written(keys=(SECRET,), headers=headers)
    for text in (show(found), show(made), show({"acme": found}), show(written)):
        assert SECRET not in text
    assert "acme" in show(found)


@pytest.mark.parametrize("key", ["sk-ключ", "sk-a\nb", "sk-a b", "sk-\x7f"])
def test_a_key_of_the_environment_that_cannot_be_sent_is_no_key_and_the_reason_names_the_variable(key: str) -> None:
    found = account(key)
    assert isinstance(found, Absent)
    assert "the variable ACME_KEY holds blanks, control or non-ASCII characters" in found.reason
    assert found.variables == ("ACME_KEY",)
    assert "sk-" not in found.reason


def test_blanks_around_a_key_of_the_environment_do_no_harm() -> None:
    assert (b"authorization", b"Bearer sk-1") in reached(" sk-1\n").headers


def test_a_key_in_the_query_is_quoted() -> None:
    assert reached("a&b=c+d/e", auth="query:key").target == b"/v1/chat/completions?key=a%26b%3Dc%2Bd%2Fe"


def test_the_headers_that_are_sent_are_the_resolved_ones() -> None:
    catalog, layer = acme(headers={"x-tenant": "env:TENANT"})
    provider, offer = catalog.providers["acme"], catalog.models["acme/a"].offers[0]

    def sent(headers: dict[str, str] | None) -> tuple[tuple[bytes, bytes], ...]:
        found = resolve(provider, Written([layer.providers["acme"]], keys=("k",), headers=headers), {})
        assert isinstance(found, Account)
        return endpoint(found, offer, "openai.chat", "k").headers

    assert (b"x-tenant", SECRET.encode()) in sent({"x-tenant": SECRET})
    assert b"x-tenant" not in dict(sent({}))


def test_the_last_file_says_whether_a_provider_is_on() -> None:
    off, on = (parse_layer({"providers": {"acme": {"enabled": on}}}, "f").providers["acme"] for on in (False, True))
    silent = parse_layer({"providers": {"acme": {"name": "A"}}}, "f").providers["acme"]
    provider = acme()[0].providers["acme"]
    assert isinstance(resolve(provider, Written([on, off, silent]), {"ACME_KEY": "k"}), Absent)
    assert isinstance(resolve(provider, Written([off, on, silent]), {"ACME_KEY": "k"}), Account)


def test_a_host_that_stands_for_none_is_not_shown() -> None:
    urls = {"openai.chat": "http://local-models.invalid/v1", "gemini": "https://acme.example.com"}
    assert Account(Provider("acme", "Acme"), urls, (), trusted=True).hosts == ["acme.example.com"]


SPOKEN = ("openai.chat", "openai.responses", "anthropic.messages", "gemini")


def headers_of(protocol: str, *, written: dict[str, str] | None = None, **fields: Any) -> dict[bytes, bytes]:
    raw = {
        "providers": {"acme": {"base_url": URL, "api_key": SECRET, **fields}},
        "models": [{"slug": "acme/a", "offers": [{"provider": "acme", "protocols": list(SPOKEN)}]}],
    }
    layer = parse_layer(raw, "trunkline.toml")
    catalog = load([layer], shipped=False)
    found = resolve(catalog.providers["acme"], Written([layer.providers["acme"]], (SECRET,), written), {})
    assert isinstance(found, Account)
    return dict(endpoint(found, catalog.models["acme/a"].offers[0], protocol, SECRET).headers)


@pytest.mark.parametrize(
    ("protocol", "header", "value"),
    [
        ("openai.chat", b"authorization", f"Bearer {SECRET}"),
        ("openai.responses", b"authorization", f"Bearer {SECRET}"),
        ("anthropic.messages", b"x-api-key", SECRET),
        ("gemini", b"x-goog-api-key", SECRET),
    ],
)
def test_a_key_goes_where_the_vendor_of_the_protocol_has_it_unless_something_is_written(
    protocol, header, value
) -> None:
    assert headers_of(protocol)[header] == value.encode()
    assert headers_of(protocol, auth="bearer")[b"authorization"] == f"Bearer {SECRET}".encode()


def test_each_protocol_may_have_an_auth_of_its_own() -> None:
    auth = {"default": "header:x-acme-key", "gemini": "bearer", "openai.responses": "none"}
    assert headers_of("openai.chat", auth=auth)[b"x-acme-key"] == SECRET.encode()
    assert headers_of("gemini", auth=auth)[b"authorization"] == f"Bearer {SECRET}".encode()
    assert SECRET.encode() not in headers_of("openai.responses", auth=auth).values()
    assert [auth_of(Provider("a", "A", auth="none"), protocol) for protocol in SPOKEN] == ["none"] * 4


def test_a_version_goes_with_messages_alone_and_the_operators_word_wins() -> None:
    version = b"anthropic-version"
    assert headers_of("anthropic.messages")[version] == b"2023-06-01"
    assert all(version not in headers_of(protocol) for protocol in SPOKEN if protocol != "anthropic.messages")
    table = {"anthropic.messages": {"Anthropic-Version": "2026-10-21"}}
    assert headers_of("anthropic.messages", protocol_headers=table)[version] == b"2026-10-21"
    assert headers_of("anthropic.messages", written={"anthropic-version": "2026-01-01"})[version] == b"2026-01-01"


def test_headers_of_a_request_take_the_place_of_those_of_the_endpoint() -> None:
    fixed = ((b"content-type", b"application/json"), (b"anthropic-version", b"2023-06-01"))
    merged = with_headers(fixed, [(b"Anthropic-Version", b"2026-10-21"), (b"anthropic-beta", b"x")])
    assert merged == (fixed[0], (b"Anthropic-Version", b"2026-10-21"), (b"anthropic-beta", b"x"))


def test_a_stream_and_a_count_have_endpoints_of_their_own() -> None:
    catalog, layer = acme()
    found = resolve(catalog.providers["acme"], Written([layer.providers["acme"]], ("k",)), {})
    assert isinstance(found, Account)
    found = Account(found.provider, {"gemini": "https://acme.example"}, ("k",), trusted=True, endpoints={})
    offer = catalog.models["acme/a"].offers[0]
    plain, stream, count = (
        endpoint(found, offer, "gemini", "k", **how).target for how in ({}, {"stream": True}, {"count": True})
    )
    assert plain.endswith(b":generateContent")
    assert stream.endswith(b":streamGenerateContent?alt=sse")
    assert count.endswith(b":countTokens")


def test_a_provider_that_wants_a_key_in_one_of_its_protocols_is_absent_without_it() -> None:
    urls = {"base_urls": {"openai.chat": URL, "gemini": URL}, "base_url": None}
    fields = {key: value for key, value in urls.items() if value}
    raw = {"providers": {"acme": {**fields, "key_env": ["ACME_KEY"], "auth": {"default": "none", "gemini": "bearer"}}}}
    layer = parse_layer(raw, "f")
    assert isinstance(
        resolve(load([layer], shipped=False).providers["acme"], Written([layer.providers["acme"]]), {}), Absent
    )
