"""The local models in the catalog: what is here is offered, what is not is explained."""

from pathlib import Path

from tests.embedded.conftest import CONTENT, make_weights
from trunkline.catalog.load import load
from trunkline.catalog.schema import parse_layer
from trunkline.embedded.offers import absent, local_layer
from trunkline.embedded.weights import models_dir

TINY = make_weights()
MANIFEST = {"tiny": TINY, "other": make_weights(b"other")}


def fetched(cache_dir: Path) -> Path:
    models_dir(cache_dir).mkdir(parents=True)
    (models_dir(cache_dir) / f"{TINY.sha256}.gguf").write_bytes(CONTENT)
    return cache_dir


def test_weights_that_are_here_are_an_offer_like_any_other(tmp_path: Path) -> None:
    catalog = load([parse_layer(local_layer(fetched(tmp_path), MANIFEST), "local")], shipped=False)
    model = catalog.models["local/tiny"]
    (offer,) = model.offers
    assert (model.context_tokens, model.input, model.reasoning) == (4096, ("text",), False)
    assert (offer.upstream_model, offer.protocols) == ("tiny", ("openai.chat",))
    assert {(line.item, line.value) for line in offer.price} == {("prompt", 0), ("completion", 0)}
    assert "reasoning_effort" not in (offer.supported_parameters or ())
    assert "tools" in (offer.supported_parameters or ())
    provider = catalog.providers["local"]
    assert (provider.local, provider.profile, provider.auth) == (True, "small-local", "none")


def test_weights_that_are_not_here_name_the_step_that_brings_them(tmp_path: Path) -> None:
    (other,) = absent(fetched(tmp_path), MANIFEST)
    assert other.model == "local/other"
    assert "run `trunkline models pull other`" in other.reason


def test_a_file_that_is_cut_short_is_not_offered(tmp_path: Path) -> None:
    (models_dir(fetched(tmp_path)) / f"{TINY.sha256}.gguf").write_bytes(CONTENT[:-1])
    assert local_layer(tmp_path, MANIFEST) == {}
