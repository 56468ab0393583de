"""`trunkline import litellm`: what becomes of a LiteLLM configuration, what is told, and that no secret is copied."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from trunkline.catalog.load import shipped_catalog
from trunkline.cli.import_ import import_
from trunkline.settings import load_settings
from trunkline.snapshot import build
from trunkline.takeover.litellm import take_over
from trunkline.takeover.toml import write_toml

CATALOG = shipped_catalog()
SECRET = "sk-written-out-0123456789"


def deployment(name: str, model: str, info: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": model, **params}, "model_info": info or {}}


def tables(*deployments: dict[str, Any], **more: Any) -> dict[str, Any]:
    return take_over({"model_list": list(deployments), **more}, CATALOG).tables


def left(*deployments: dict[str, Any], **more: Any) -> str:
    return "\n".join(take_over({"model_list": list(deployments), **more}, CATALOG).left)


def call(folder: Path, raw: dict[str, Any], *arguments: str) -> Result:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(raw))
    return CliRunner().invoke(import_, ["litellm", str(path), *arguments], catch_exceptions=False)


def loaded(text: str, folder: Path) -> Any:
    """The snapshot that a gateway makes of the new file."""
    path = folder / "trunkline.toml"
    path.write_text(text)
    names = {word.removeprefix("env:") for word in text.split('"') if word.startswith("env:")}
    return build(load_settings(path, dict.fromkeys(names, "a-key")))


def test_a_known_model_gets_its_name_and_the_provider_its_variable():
    found = tables(deployment("sonnet", "anthropic/claude-sonnet-4-5", api_key="os.environ/MY_KEY"))
    assert found["providers"] == {"anthropic": {"api_key": "env:MY_KEY"}}
    (model,) = found["models"]
    assert model["slug"] == "anthropic/claude-sonnet-4.5"
    assert "sonnet" in model["aliases"]
    assert "offers" not in model


@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-4o"])
def test_a_model_under_a_name_that_it_has_already_needs_no_table(name):
    assert "models" not in tables(deployment(name, "gpt-4o", api_key="os.environ/OPENAI_API_KEY"))


def test_deployments_of_two_azure_resources_are_offers_of_two_providers(tmp_path):
    found = tables(
        deployment("gpt-4o", "azure/gpt-4o-eu", api_base="https://acme-eu.openai.azure.com/", api_key="os.environ/EU"),
        deployment("gpt-4o", "azure/gpt-4o-ca", api_base="https://acme-ca.openai.azure.com/", api_key="os.environ/CA"),
    )
    assert found["providers"]["azure"] == {"endpoint": "https://acme-eu.openai.azure.com", "api_key": "env:EU"}
    snapshot = loaded(write_toml(found), tmp_path)
    offers = {offer.provider: offer for offer in snapshot.catalog.models["openai/gpt-4o"].offers}
    assert (offers["azure"].upstream_model, offers["azure-2"].upstream_model) == ("gpt-4o-eu", "gpt-4o-ca")
    assert offers["azure-2"].price[0].value == offers["azure"].price[0].value
    assert snapshot.account("azure-2").hosts == ["acme-ca.openai.azure.com"]


def test_a_server_of_ones_own_is_a_provider_by_its_host(tmp_path):
    vllm = deployment(
        "my-model",
        "openai/facebook/opt-125m",
        {"max_input_tokens": 8192, "supports_vision": True},
        api_base="http://10.0.0.7:4000/v1",
        api_key="none",
        input_cost_per_token=0.0000011,
        output_cost_per_token=4.4e-06,
    )
    snapshot = loaded(write_toml(tables(vllm)), tmp_path)
    model = snapshot.catalog.models["imported/my-model"]
    assert (model.context_tokens, model.input, model.aliases) == (8192, ("text", "image"), ("my-model",))
    (offer,) = model.offers
    assert (offer.provider, offer.upstream_model) == ("10-0-0-7", "facebook/opt-125m")
    assert [(line.item, str(line.value)) for line in offer.price] == [("prompt", "1.1"), ("completion", "4.4")]
    assert snapshot.account("10-0-0-7").base_urls == {"openai.chat": "http://10.0.0.7:4000/v1"}


def test_several_keys_of_a_provider_are_used_in_turn():
    found = tables(
        deployment("a", "openai/gpt-4o", api_key="os.environ/ONE"),
        deployment("b", "openai/gpt-5", api_key="os.environ/TWO"),
        deployment("c", "openai/gpt-5-mini", api_key="os.environ/ONE"),
    )
    assert found["providers"]["openai"] == {"api_keys": ["env:ONE", "env:TWO"]}


def test_a_secret_that_is_written_out_is_not_copied_but_its_variable_named(tmp_path):
    raw = {
        "model_list": [deployment("gpt-4o", "openai/gpt-4o", api_key=SECRET)],
        "general_settings": {"master_key": SECRET},
        "environment_variables": {"REDIS_PASSWORD": SECRET},
    }
    result = call(tmp_path, raw)
    assert SECRET not in result.output
    assert 'api_key = "env:OPENAI_API_KEY"' in result.stdout
    assert "set the variable OPENAI_API_KEY to it" in result.stderr
    assert 'master_key = "env:TRUNKLINE_MASTER_KEY"' in result.stdout


def test_fallbacks_aliases_and_the_master_key():
    found = take_over(
        {
            "model_list": [
                deployment("gpt-4o", "openai/gpt-4o"),
                deployment("sonnet", "anthropic/claude-sonnet-4-5"),
            ],
            "router_settings": {
                "model_group_alias": {"gpt-4": "gpt-4o", "hidden": {"model": "sonnet", "hidden": True}},
                "fallbacks": [{"gpt-4o": ["sonnet"]}, {"*": ["sonnet"]}],
            },
            "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
        },
        CATALOG,
    )
    assert found.tables["routing"] == {"fallback_model": "anthropic/claude-sonnet-4.5"}
    assert found.tables["auth"] == {"master_key": "env:LITELLM_MASTER_KEY"}
    aliases = {model["slug"]: model["aliases"] for model in found.tables["models"]}
    assert "gpt-4" in aliases["openai/gpt-4o"]
    assert {"sonnet", "hidden"} <= set(aliases["anthropic/claude-sonnet-4.5"])
    assert "fallbacks of gpt-4o: a request names its own: `models = ['anthropic/claude-sonnet-4.5']`" in found.left


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (deployment("emb", "openai/text-embedding-3-small", {"mode": "embedding"}), "embedding is not served"),
        (deployment("x", "replicate/meta/llama"), "the provider replicate is not in the catalog"),
        (deployment("x", "openai/gpt-4o", rpm=60), "rpm: limits of a deployment"),
        (deployment("x", "openai/gpt-4o", order=1), "order: a request can name the order"),
        (deployment("x", "openai/gpt-4o", temperature=0.1), "temperature: a request says this itself"),
        (deployment("x", "bedrock/nova", aws_access_key_id="os.environ/A"), "set AWS_ACCESS_KEY_ID"),
        (deployment("x", "azure/my-own", api_version="2024-02-01"), "api_version"),
        ({"model_name": "x"}, "no litellm_params.model"),
        ("nonsense", "model_list[0]: has no model_name"),
    ],
)
def test_what_has_no_counterpart_is_told_with_why(entry, said):
    assert said in left(entry)


def test_virtual_keys_are_always_said_to_stay_behind():
    assert "no key can be taken over: make new ones with `trunkline keys create`" in left()


def test_a_name_that_means_another_model_here_is_told():
    mixed = [deployment("gpt-4o", "openai/gpt-5"), deployment("gpt-4o", "anthropic/claude-sonnet-4-5")]
    assert "the name gpt-4o: means openai/gpt-4o in the catalog; ask for imported/gpt-4o" in left(*mixed)


def test_it_is_written_where_nothing_is_yet(tmp_path):
    target, raw = tmp_path / "new.toml", {"model_list": [deployment("gpt-4o", "openai/gpt-4o")]}
    assert call(tmp_path, raw, "--write", str(target)).exit_code == 0
    before = target.read_text()
    again = call(tmp_path, {"model_list": []}, "--write", str(target))
    assert (again.exit_code, target.read_text()) == (1, before)
    assert "is there already" in again.output


@pytest.mark.parametrize("text", ["a: [1, 2", "- 1\n- 2", "model_list: 5", "\x00", ""])
def test_what_is_no_such_file_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    result = CliRunner().invoke(import_, ["litellm", str(path)])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert len(result.output.splitlines()) == 1


TEXTS = st.text(max_size=12)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
PARAMS = st.dictionaries(
    st.sampled_from(
        ["model", "api_key", "api_base", "api_version", "order", "input_cost_per_token", "aws_region_name"]
    ),
    st.sampled_from(["openai/x", "azure/y", "ollama/z", "http://h:1/v1", "os.environ/A", "bedrock/eu/q", "*"])
    | ANYTHING,
)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "model_list": st.lists(
            st.fixed_dictionaries({"model_name": TEXTS | ANYTHING, "litellm_params": PARAMS | ANYTHING}) | ANYTHING,
            max_size=4,
        ),
        "router_settings": ANYTHING,
        "litellm_settings": ANYTHING,
        "general_settings": ANYTHING,
    },
)


@given(FILES)
def test_whatever_the_file_holds_there_is_toml_that_says_the_same_or_words(raw):
    try:
        found = take_over(raw, CATALOG).tables
    except ValueError:
        return
    assert tomllib.loads(write_toml(found)) == {
        name: value for name, value in found.items() if value or name == "providers"
    }
