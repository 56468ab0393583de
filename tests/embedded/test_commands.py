"""`trunkline models` and `trunkline detect` on the command line."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from tests.embedded.conftest import SMALL
from trunkline.cli.detect import detect
from trunkline.cli.models import models
from trunkline.embedded.errors import WeightsError


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return CliRunner()


def test_list_shows_all_models_and_what_is_here(run: CliRunner) -> None:
    result = run.invoke(models, ["list"])
    assert f"local/{SMALL}" in result.output
    assert result.output.count("not fetched") == 3


def test_import_pull_list_and_remove_go_together(run: CliRunner, weights_cache: Path) -> None:
    (file,) = weights_cache.glob("models/b179c952*.gguf")
    assert f"call it as local/{SMALL}" in run.invoke(models, ["import", str(file)]).output
    pulled = run.invoke(models, ["pull", SMALL])
    assert pulled.exit_code == 0
    assert "Apache-2.0" in pulled.output
    assert "here, hash right" in run.invoke(models, ["list", "--verify"]).output
    assert "98 MB came free" in run.invoke(models, ["remove", SMALL]).output


def test_a_file_that_is_no_model_is_refused(run: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"x")
    result = run.invoke(models, ["import", str(tmp_path / "x.gguf")])
    assert isinstance(result.exception, WeightsError)


def test_detect_speaks_json(run: CliRunner) -> None:
    result = run.invoke(detect, ["--json"])
    found = msgspec.json.decode(result.output)
    assert {"found", "absent"} == set(found)


def test_detect_prints_a_row_for_every_kind(run: CliRunner) -> None:
    output = run.invoke(detect, []).output
    assert "Ollama" in output
    assert "Docker Model Runner" in output
