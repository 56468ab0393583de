"""Later layers over earlier ones."""

from pathlib import Path
from typing import Any

import pytest

from trunkline.catalog.load import check_downloaded, load, shipped_catalog
from trunkline.catalog.schema import CatalogLayer, parse_layer
from trunkline.catalog.types import Catalog, Offer
from trunkline.errors import ConfigError

PRICE = [{"item": "prompt", "unit": "perMTokens", "value": "9"}]


def layer(providers: dict[str, Any] | None = None, models: list[dict[str, Any]] | None = None) -> CatalogLayer:
    return parse_layer({"providers": providers or {}, "models": models or []}, "trunkline.toml")


def offer(catalog: Catalog, provider: str, slug: str = "openai/o4-mini") -> Offer:
    return next(offer for offer in catalog.models[slug].offers if offer.provider == provider)


def o4_mini(**fields: Any) -> list[dict[str, Any]]:
    return [{"slug": "openai/o4-mini", "offers": [{"provider": "openai", **fields}]}]


BASE = layer(
    {"acme": {"name": "Acme", "base_urls": {"openai.chat": "https://acme.example/v1"}, "key_env": ["ACME_KEY"]}},
    [
        {
            "slug": "acme/a",
            "context_tokens": 10,
            "offers": [{"provider": "acme", "protocols": ["openai.chat"], "price": PRICE}],
        }
    ],
)


def test_without_layers_it_is_the_compiled_catalog() -> None:
    assert load() == shipped_catalog()


def test_a_field_that_is_not_spoken_of_stays() -> None:
    changed = offer(load([layer(models=o4_mini(context_tokens=1_000))]), "openai")
    shipped = offer(load(), "openai")
    assert changed.context_tokens == 1_000
    assert (changed.price, changed.supported_parameters) == (shipped.price, shipped.supported_parameters)


def test_a_price_that_is_given_takes_the_place_of_the_whole_list() -> None:
    assert [str(line.value) for line in offer(load([layer(models=o4_mini(price=PRICE))]), "openai").price] == ["9"]


def test_other_offers_of_the_model_stay_as_they_are() -> None:
    assert offer(load([layer(models=o4_mini(price=PRICE))]), "azure") == offer(load(), "azure")


def test_the_last_layer_wins() -> None:
    first, second = layer({"acme": {"name": "First"}}), layer({"acme": {"name": "Second"}})
    assert load([BASE, first, second], shipped=False).providers["acme"].name == "Second"
    assert load([BASE, second, first], shipped=False).providers["acme"].name == "First"


def test_a_model_of_ones_own_can_be_offered_by_a_shipped_provider() -> None:
    catalog = load(
        [layer(models=[{"slug": "acme/tuned", "offers": [{"provider": "openai", "upstream_model": "ft:1"}]}])]
    )
    assert offer(catalog, "openai", "acme/tuned").protocols == ("openai.chat", "openai.responses")


def test_the_upstream_name_is_the_models_own_where_none_is_given() -> None:
    assert offer(load([BASE], shipped=False), "acme", "acme/a").upstream_model == "a"


def test_a_single_base_url_serves_all_protocols_of_the_providers_offers() -> None:
    catalog = load([layer({"openai": {"base_url": "http://127.0.0.1:9001"}})])
    assert catalog.providers["openai"].base_urls == dict.fromkeys(
        ("openai.chat", "openai.responses"), "http://127.0.0.1:9001"
    )


def test_base_urls_beside_a_base_url_are_for_the_protocols_that_they_name() -> None:
    urls = {"base_url": "https://a.example", "base_urls": {"openai.responses": "https://b.example"}}
    base_urls = load([layer({"openai": urls})]).providers["openai"].base_urls
    assert base_urls == {"openai.chat": "https://a.example", "openai.responses": "https://b.example"}


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("http://127.0.0.1:9001", True),
        ("http://localhost:9001", True),
        ("http://10.1.2.3/v1", True),
        ("http://[::1]:9001", True),
        ("http://vllm:8000", True),
        ("https://llm.internal/v1", True),
        ("https://acme.example/v1", False),
        ("https://8.8.8.8/v1", False),
    ],
)
def test_an_address_that_is_plainly_near_passes_the_guard_against_private_ones(url: str, near: bool) -> None:
    assert load([layer({"acme": {"base_url": url}})], shipped=False).providers["acme"].local is near


def test_a_provider_that_is_switched_off_takes_its_offers_along() -> None:
    catalog = load([layer({"openai": {"enabled": False}})])
    assert [known.provider for known in catalog.models["openai/o4-mini"].offers] == ["azure"]


def test_an_offer_and_a_model_can_be_switched_off_and_on_again() -> None:
    off = layer(models=[{"slug": "acme/a", "enabled": False}])
    on = layer(models=[{"slug": "acme/a", "enabled": True, "offers": [{"provider": "acme", "enabled": False}]}])
    assert "acme/a" not in load([BASE, off], shipped=False).models
    assert load([BASE, off, on], shipped=False).models["acme/a"].offers == ()


def test_a_server_that_stands_in_for_a_vendor_is_not_bound_by_the_vendors_shutdown_dates() -> None:
    assert offer(load(), "openai").shutdown_on == "2026-10-23"
    stand_in = load([layer({"openai": {"base_url": "http://127.0.0.1:9001"}})])
    assert offer(stand_in, "openai").shutdown_on is None
    assert offer(stand_in, "azure").shutdown_on == offer(load(), "azure").shutdown_on


def test_the_vendors_own_address_changes_no_dates() -> None:
    assert (
        offer(load([layer({"openai": {"base_url": "https://api.openai.com/v1"}})]), "openai").shutdown_on
        == "2026-10-23"
    )


def test_an_empty_date_takes_an_earlier_one_away() -> None:
    assert offer(load([layer(models=o4_mini(shutdown_on=""))]), "openai").shutdown_on is None


def test_zero_retention_is_the_operators_own_word() -> None:
    policy = load([layer({"openai": {"zdr": True}})]).providers["openai"].data_policy
    assert (policy.zdr, policy.training) == (True, False)


def test_one_field_of_a_policy_can_be_changed() -> None:
    policy = load([layer({"openai": {"data_policy": {"retention_days": 0}}})]).providers["openai"].data_policy
    assert (policy.retention_days, policy.training, policy.moderation) == (0, False, "developer")


def test_an_offer_may_have_a_policy_of_its_own() -> None:
    changed = offer(load([layer(models=o4_mini(data_policy={"retention_days": 0}))]), "openai")
    assert changed.data_policy is not None
    assert changed.data_policy.retention_days == 0


def test_values_for_an_address_are_kept_for_the_provider() -> None:
    provider = load([layer({"bedrock": {"region": "eu-west-1"}})]).providers["bedrock"]
    assert provider.vars == {"region": "eu-west-1"}


@pytest.mark.parametrize(
    ("version", "url"),
    [
        ("2024-10-21", "{endpoint}/openai/deployments/{model}?api-version=2024-10-21"),
        ("preview", "{endpoint}/openai/v1?api-version=preview"),
    ],
)
def test_a_dated_version_of_azure_lives_under_the_deployment(version: str, url: str) -> None:
    assert load([layer({"azure": {"api_version": version}})]).providers["azure"].base_urls["openai.chat"] == url


def test_the_version_names_the_content() -> None:
    changed = layer({"openai": {"name": "Other"}})
    assert load([changed]).version == load([changed]).version != load().version
    assert len(load().version) == 12


def test_a_secret_does_not_reach_the_catalog() -> None:
    catalog = load([layer({"acme": {"base_url": "https://a.example", "api_key": "sk-live-1"}})], shipped=False)
    assert "sk-live" not in repr(catalog)
    assert catalog.version == load([layer({"acme": {"base_url": "https://a.example"}})], shipped=False).version


def refused(*layers: CatalogLayer) -> str:
    with pytest.raises(ConfigError) as caught:
        load([BASE, *layers], shipped=False)
    return str(caught.value)


def test_an_unknown_provider_is_told_with_the_nearest() -> None:
    message = refused(layer(models=[{"slug": "acme/b", "offers": [{"provider": "acm", "protocols": ["gemini"]}]}]))
    assert message == (
        "trunkline.toml: models[\"acme/b\"].offers[\"acm\"]: the provider 'acm' is not known: did you mean 'acme'?"
    )


def test_an_offer_that_nothing_tells_the_protocol_of_is_refused() -> None:
    message = refused(layer({"empty": {}}, [{"slug": "acme/b", "offers": [{"provider": "empty"}]}]))
    assert 'add e.g. protocols = ["openai.chat"]' in message


@pytest.mark.parametrize("aliases", [["acme/a"], ["shared", "shared-2"]])
def test_an_alias_means_one_model_only(aliases: list[str]) -> None:
    message = refused(layer(models=[{"slug": "acme/c", "aliases": ["shared"]}, {"slug": "acme/b", "aliases": aliases}]))
    assert "already means" in message
    assert "take it out of one of them" in message


def test_the_files_of_the_overlay_are_laid_by_name_and_below_the_operators_own(tmp_path: Path) -> None:
    (tmp_path / "20.toml").write_text('[providers.acme]\nname = "Twenty"\ndocs_url = "https://20.example"\n')
    (tmp_path / "10.toml").write_text('[providers.acme]\nname = "Ten"\nbase_url = "https://a.example"\n')
    (tmp_path / "note.txt").write_text("not a layer")
    catalog = load([layer({"acme": {"docs_url": "https://own.example"}})], shipped=False, overlay_dir=tmp_path)
    assert (catalog.providers["acme"].name, catalog.providers["acme"].docs_url) == ("Twenty", "https://own.example")


def test_the_downloaded_layer_lies_below_the_overlay(tmp_path: Path) -> None:
    downloaded, overlay = tmp_path / "catalog.toml", tmp_path / "catalog.d"
    overlay.mkdir()
    downloaded.write_text('[providers.acme]\nname = "Downloaded"\nstatus_url = "https://s.example"\n')
    (overlay / "own.toml").write_text('[providers.acme]\nname = "Own"\n')
    acme = load(shipped=False, downloaded=downloaded, overlay_dir=overlay).providers["acme"]
    assert (acme.name, acme.status_url) == ("Own", "https://s.example")


@pytest.mark.parametrize(
    "key", ['base_url = "https://evil.example"', 'key_env = ["OTHER_KEY"]', 'headers = { a = "b" }', "local = true"]
)
def test_a_downloaded_layer_must_not_say_where_keys_go(key: str) -> None:
    with pytest.raises(ConfigError, match="must not say where keys go"):
        check_downloaded(f"[providers.openai]\n{key}\n", "catalog.toml")


def test_absent_folders_and_files_are_no_fault(tmp_path: Path) -> None:
    assert load(downloaded=tmp_path / "none.toml", overlay_dir=tmp_path / "none") == shipped_catalog()


@pytest.mark.parametrize(
    ("text", "fault"), [(b"a = ", "is not TOML"), (b"\xff", "cannot be read"), (b"a = 1", "unknown key")]
)
def test_a_bad_file_is_named(tmp_path: Path, text: bytes, fault: str) -> None:
    (tmp_path / "bad.toml").write_bytes(text)
    with pytest.raises(ConfigError, match=rf"bad\.toml.*{fault}"):
        load(shipped=False, overlay_dir=tmp_path)


def spoken(urls: dict[str, str], protocols: list[str], **more: Any) -> Catalog:
    model = {"slug": "acme/b", "offers": [{"provider": "acme", "protocols": protocols, **more}]}
    return load([layer({"acme": {"base_urls": urls}}, [model])], shipped=False)


def test_an_offer_speaks_only_what_its_provider_has_an_address_for() -> None:
    urls = {"anthropic.messages": "https://a.example"}
    assert offer(spoken(urls, ["openai.chat", "anthropic.messages"]), "acme", "acme/b").protocols == (
        "anthropic.messages",
    )


def test_an_offer_without_an_address_for_any_of_its_protocols_is_refused_with_the_mend() -> None:
    with pytest.raises(ConfigError) as caught:
        spoken({"anthropic.messages": "https://a.example"}, ["openai.chat"])
    assert str(caught.value) == (
        'trunkline.toml: models["acme/b"].offers["acme"]: [providers.acme] has addresses for anthropic.messages, this offer '
        "speaks openai.chat: add an address for one of them to [providers.acme], or correct `protocols`"
    )
    assert (
        spoken({"anthropic.messages": "https://a.example"}, ["openai.chat"], enabled=False).models["acme/b"].offers
        == ()
    )


def test_new_addresses_of_a_shipped_provider_keep_the_protocols_that_they_are_for() -> None:
    catalog = load([layer({"openai": {"base_urls": {"openai.chat": "https://api.openai.com/v1"}}})])
    assert offer(catalog, "openai").protocols == ("openai.chat",)
    # What the provider has in another protocol alone is left out, without a word.
    assert "openai" not in [known.provider for known in catalog.models["openai/gpt-5.5-pro"].offers]
    with pytest.raises(ConfigError, match=r"trunkline\.toml: providers\.openai\.base_urls: has addresses for gemini"):
        load([layer({"openai": {"base_urls": {"gemini": "https://a.example"}}})])


def test_a_provider_without_any_address_is_no_fault_of_the_file() -> None:
    assert spoken({}, ["openai.chat"]).models["acme/b"].offers[0].protocols == ("openai.chat",)
