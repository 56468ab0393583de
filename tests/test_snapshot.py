"""From settings to what requests see: whose addresses are trusted, what is offered, and what gives way."""

from pathlib import Path
from typing import Any

import pytest

from trunkline.accounts.keys import ApiKey
from trunkline.accounts.stored_keys import StoredKey
from trunkline.cli.findings import callable_models
from trunkline.errors import ConfigError
from trunkline.providers.accounts import Account
from trunkline.settings import load_settings
from trunkline.snapshot import build, build_with_servers, with_stored

SECRET = "sk-very-secret-0123456789"
QUIET = "[embedded]\nenabled = false\n"
GPU = """
[providers.gpu]
base_url = "http://gpu.corp.example.com:8000/v1"
api_key = "{key}"
[[models]]
slug = "acme/a"
[[models.offers]]
provider = "gpu"
protocols = ["openai.chat"]
"""


@pytest.fixture
def built(tmp_path: Path):
    """The snapshot of a file and of files of `catalog.d`."""

    def built(text: str = "", overlay: str = "", servers: dict[str, Any] | None = None, **env: str):
        (tmp_path / "trunkline.toml").write_text(QUIET + text)
        (tmp_path / "catalog.d").mkdir(exist_ok=True)
        (tmp_path / "catalog.d" / "own.toml").write_text(overlay)
        env = {"TRUNKLINE_CACHE": str(tmp_path / "cache"), **env}
        return build_with_servers(load_settings(tmp_path / "trunkline.toml", env), servers or {})

    return built


@pytest.mark.parametrize("where", ["text", "overlay"])
def test_an_address_that_the_operator_wrote_in_any_file_is_trusted(built, where: str) -> None:
    account = built(**{where: GPU.format(key="k")}).accounts["gpu"]
    assert isinstance(account, Account)
    assert account.trusted


def test_an_address_of_the_catalog_is_guarded(built) -> None:
    account = built(OPENAI_API_KEY="k").accounts["openai"]
    assert isinstance(account, Account)
    assert not account.trusted


def test_no_key_is_in_the_text_of_a_snapshot(built) -> None:
    headers = '[providers.gpu]\nheaders = { x-tenant = "env:TENANT" }\n'
    snapshot = built(headers, GPU.format(key=SECRET), OPENAI_API_KEY=SECRET, TENANT=SECRET)
    assert SECRET not in repr(snapshot)
    assert snapshot.accounts["gpu"].headers == {"x-tenant": SECRET}


def test_the_files_of_the_operator_are_stronger_than_what_was_found(built) -> None:
    found = {"providers": {"ollama": {"name": "Found", "base_url": "http://127.0.0.1:11434/v1", "auth": "none"}}}
    assert built(servers=found).catalog.providers["ollama"].name == "Found"
    own = '[providers.ollama]\nname = "Own"\n'
    assert built(overlay=own, servers=found).catalog.providers["ollama"].name == "Own"


def test_servers_that_do_not_go_with_the_files_give_way(built) -> None:
    model = {"slug": "ollama/b", "offers": [{"provider": "ollama", "protocols": ["openai.chat"]}]}
    found = {
        "providers": {"ollama": {"base_url": "http://127.0.0.1:11434/v1", "auth": "none"}},
        "models": [{**model, "aliases": ["a"]}],
    }
    assert "ollama/b" in built(servers=found).catalog.models
    clash = built(GPU.format(key="k") + '[[models]]\nslug = "acme/c"\naliases = ["a"]\n', servers=found)
    assert {"acme/a", "acme/c"} <= clash.catalog.models.keys()
    assert "ollama/b" not in clash.catalog.models


def test_a_model_whose_offers_have_ended_cannot_be_called(built) -> None:
    snapshot = built(GPU.format(key="k") + 'shutdown_on = "2026-06-30"\n')
    assert "acme/a" in callable_models(snapshot, "2026-06-29")
    assert "acme/a" not in callable_models(snapshot, "2026-06-30")


def test_with_openais_key_alone_its_ended_model_is_not_offered(built) -> None:
    snapshot = build(load_settings(None, {"OPENAI_API_KEY": "k", "TRUNKLINE_CACHE": "/nowhere"}))
    assert "openai/o4-mini" in callable_models(snapshot, "2026-10-22")
    assert "openai/o4-mini" not in callable_models(snapshot, "2026-10-23")


def test_the_models_of_the_routing_settings_reach_the_requests(built) -> None:
    text = '[routing]\nfallback_model = "openai/o4-mini"\nauto_models = ["openai/o4-mini:azure"]\nspread = false\n'
    policy = built(text).policy
    assert (policy.fallback_model, policy.auto_models, policy.spread) == (
        "openai/o4-mini",
        ("openai/o4-mini:azure",),
        False,
    )


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('fallback_model = "openai/o4-mni"', "fallback_model"),
        ('auto_models = ["openai/o4-mini", "openai/o4-mni"]', r"auto_models\[1\]"),
    ],
)
def test_a_model_of_the_routing_settings_that_there_is_not_is_an_error_with_its_place(
    built, line: str, key: str
) -> None:
    with pytest.raises(
        ConfigError, match=rf"routing\.{key}: there is no model 'openai/o4-mni'; did you mean openai/o4-mini"
    ):
        built(f"[routing]\n{line}\n")


@pytest.fixture
def whose(built, tmp_path: Path):
    """Keys of the provider `gpu` for everyone, an organisation, a member, with these in the store."""

    def whose(*stored: StoredKey) -> dict[str, tuple[str, ...]]:
        bare = built(GPU.format(key=SECRET))
        settings = load_settings(tmp_path / "trunkline.toml", {"TRUNKLINE_CACHE": str(tmp_path / "cache")})
        everyones, apart = with_stored(bare, settings, stored)

        def keys(org_id: str, member_id: str = "") -> tuple[str, ...]:
            key = ApiKey("key_1", "", "", "", 0, org_id=org_id, member_id=member_id)
            return ((apart.of(key) if apart else None) or everyones).account("gpu").keys

        return {
            "default": keys("org_default"),
            "alice": keys("org_default", "alice"),
            "other": keys("org_2"),
            "kim": keys("org_2", "kim"),
            "third": keys("org_3"),
        }

    return whose


def test_without_stored_keys_everyone_has_those_of_the_file(whose) -> None:
    assert set(whose().values()) == {(SECRET,)}


def test_a_stored_key_is_its_organisations_beside_those_of_the_file(whose) -> None:
    found = whose(StoredKey("gpu", "a"), StoredKey("gpu", "b", "org_2"), StoredKey("gpu", "a"))
    assert found["default"] == found["alice"] == (SECRET, "a")
    assert found["other"] == found["kim"] == (SECRET, "b")
    assert found["third"] == (SECRET,)


def test_a_members_own_key_is_first_and_nobody_elses(whose) -> None:
    found = whose(
        StoredKey("gpu", "a"), StoredKey("gpu", "mine", member_id="alice"), StoredKey("gpu", "kims", "org_2", "kim")
    )
    assert found["alice"] == ("mine", SECRET, "a")
    assert found["kim"] == ("kims", SECRET)
    assert found["default"] == (SECRET, "a")
    assert found["other"] == found["third"] == (SECRET,)


def test_a_stored_key_of_a_provider_that_is_gone_changes_nothing(whose) -> None:
    assert set(whose(StoredKey("gone", "a")).values()) == {(SECRET,)}


def test_neither_key_nor_snapshot_shows_a_stored_secret(built, tmp_path: Path) -> None:
    bare = built(GPU.format(key=SECRET))
    settings = load_settings(tmp_path / "trunkline.toml", {"TRUNKLINE_CACHE": str(tmp_path / "cache")})
    key = StoredKey("gpu", "sk-stored-0123456789", member_id="alice")
    everyones, apart = with_stored(bare, settings, [key])
    assert apart is not None
    assert "sk-stored" not in repr(key) + repr(apart.of_owner["org_default", "alice"].accounts["gpu"]) + repr(everyones)
