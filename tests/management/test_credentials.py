"""Where credentials come from is told by name: variables, files, keys of the configuration. What they are is not."""

import json

import pytest

from trunkline.api.management.console import Console
from trunkline.api.management.credentials import Source, credentials
from trunkline.settings import load_settings
from trunkline.snapshot import build_with_servers

QUIET = "[embedded]\nenabled = false\n[detect]\nlocal_servers = false\n"
GOOGLE_KEY = json.dumps(
    {"type": "authorized_user", "client_id": "id", "client_secret": "sec-ret", "refresh_token": "re-fresh"}
)


@pytest.fixture
def found(tmp_path):
    def look(slug: str, config: str = "", **env: str):
        path = tmp_path / "t.toml"
        path.write_text(QUIET + config)
        settings = load_settings(path, {"HOME": str(tmp_path), "TRUNKLINE_CACHE": str(tmp_path), **env})
        console = Console(settings, build_with_servers(settings, {}), b"", "", store=None)
        told = credentials(console, slug)
        assert "secret-" not in repr(told)
        return told

    look.path = tmp_path / "t.toml"
    return look


def test_the_usual_variable(found):
    told = found("openai", OPENAI_API_KEY="secret-1")
    assert told.count == 1
    assert told.sources == (Source("variable", "OPENAI_API_KEY"),)


def test_of_several_variables_the_one_that_counts(found):
    assert found("google", GOOGLE_API_KEY="secret-2").sources[0].name == "GOOGLE_API_KEY"
    both = found("google", GOOGLE_API_KEY="secret-2", GEMINI_API_KEY="secret-1")
    assert [source.name for source in both.sources] == ["GEMINI_API_KEY"]


def test_keys_of_the_file_by_what_names_them(found, tmp_path):
    (tmp_path / "key").write_text("secret-2\n")
    config = f'[providers.openai]\napi_keys = ["env:KEY_A", "file:{tmp_path}/key", "secret-3"]\n'
    told = found("openai", config, KEY_A="secret-1", OPENAI_API_KEY="secret-4")
    place = f"{found.path}: [providers.openai] api_keys"
    assert told.count == 3
    assert told.sources == (
        Source("variable", "KEY_A", f"{place}[0]"),
        Source("file", f"{tmp_path}/key", f"{place}[1]"),
        Source("configuration", f"{place}[2]"),
    )


def test_the_last_file_that_holds_a_key_is_the_one(found, tmp_path):
    (tmp_path / "catalog.d").mkdir()
    (tmp_path / "catalog.d" / "a.toml").write_text('[providers.openai]\napi_key = "secret-1"\n')
    assert found("openai").sources[0].name == f"{tmp_path}/catalog.d/a.toml: [providers.openai] api_key"
    own = found("openai", '[providers.openai]\napi_key = "secret-2"\n')
    assert own.sources == (Source("configuration", f"{found.path}: [providers.openai] api_key"),)


def test_what_stands_for_a_key_at_google_and_aws(found, tmp_path):
    file = tmp_path / "google.json"
    file.write_text(GOOGLE_KEY)
    place = {"GOOGLE_CLOUD_PROJECT": "acme", "GOOGLE_CLOUD_LOCATION": "europe-west4"}
    variable = found("vertex", GOOGLE_APPLICATION_CREDENTIALS=str(file), **place)
    assert (variable.count, variable.sources) == (1, (Source("variable", "GOOGLE_APPLICATION_CREDENTIALS"),))
    written = found("vertex", f'[providers.vertex]\ncredentials = "{file}"\n', **place)
    assert written.sources == (Source("file", str(file), f"{found.path}: [providers.vertex] credentials"),)
    metadata = found("vertex", '[providers.vertex]\ncredentials = "metadata"\n', **place)
    assert metadata.sources[0].kind == "metadata"
    aws = found("bedrock", AWS_ACCESS_KEY_ID="secret-1", AWS_SECRET_ACCESS_KEY="secret-2", AWS_REGION="eu-central-1")
    assert aws.sources == (Source("variable", "AWS_ACCESS_KEY_ID"),)


def test_what_gcloud_left_behind(found, tmp_path):
    (tmp_path / ".config" / "gcloud").mkdir(parents=True)
    (tmp_path / ".config" / "gcloud" / "application_default_credentials.json").write_text(GOOGLE_KEY)
    told = found("vertex", GOOGLE_CLOUD_PROJECT="acme", GOOGLE_CLOUD_LOCATION="europe-west4")
    assert "gcloud" in told.sources[0].name


def test_address_and_headers_are_told_by_name(found):
    config = '[providers.azure]\nheaders = { "x-team" = "secret-team" }\n'
    told = found("azure", config, AZURE_OPENAI_API_KEY="secret-1", AZURE_OPENAI_ENDPOINT="https://acme.example.com")
    assert told.address_variables == ("AZURE_OPENAI_ENDPOINT",)
    assert told.headers == ("x-team",)


def test_nothing_found_and_switched_off(found):
    assert found("openai") == found("openai", OPENAI_API_KEY="")
    assert found("openai").count == 0
    assert not found("openai").switched_off
    assert found("openai", "[providers.openai]\nenabled = false\n", OPENAI_API_KEY="secret-1").switched_off
