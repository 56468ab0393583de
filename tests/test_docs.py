"""The documentation is true: configurations load, commands exist, samples parse, links lead somewhere."""

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import trustme

from trunkline.catalog.schema import CatalogLayer, OfferLayer, ProviderLayer
from trunkline.cli.main import cli
from trunkline.settings import OVERRIDES, Settings, _File, load_settings

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CONFIGURATION = ROOT / "docs" / "configuration.md"
CERTIFICATE = trustme.CA().issue_cert("llm.example.com")
REGISTRIES = re.compile(r"pypi\.org|pythonhosted\.org|npmjs\.(org|com)|crates\.io|proxy\.golang\.org|deb\.debian\.org")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Every fenced block of a language, with a name for it."""
    for page in PAGES:
        found = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        for number, text in enumerate(found, 1):
            yield f"{name_of(page)} #{number}", text


def parametrize(language: str) -> pytest.MarkDecorator:
    found = list(blocks(language))
    return pytest.mark.parametrize("text", [text for _, text in found], ids=[name for name, _ in found])


@parametrize("toml")
def test_every_configuration_shown_can_be_loaded(text: str, tmp_path: Path) -> None:
    assert isinstance(loaded(text, tmp_path), Settings)


def loaded(text: str, tmp_path: Path) -> Settings:
    """The settings of a block, with every secret and file that it names at hand."""
    for number, path in enumerate(sorted(set(re.findall(r'"(?:file:)?(/[^"\s]+\.(?:pem|key|txt))"', text)))):
        stand_in = tmp_path / f"file{number}"
        if path.endswith(".pem"):
            # Key and certificate in one: it can stand for either.
            CERTIFICATE.private_key_and_cert_chain_pem.write_to_path(stand_in)
        else:
            stand_in.write_text("secret")
        text = text.replace(path, str(stand_in))
    file = tmp_path / "trunkline.toml"
    file.write_text(text)
    return load_settings(file, dict.fromkeys(re.findall(r"env:(\w+)", text), "secret"))


def test_every_key_of_the_configuration_is_documented() -> None:
    text = CONFIGURATION.read_text()
    keys = {key for section in _File.model_fields.values() for key in getattr(section.annotation, "model_fields", {})}
    for part in (CatalogLayer, ProviderLayer, OfferLayer):
        keys |= set(part.model_fields)
    missing = [key for key in sorted(keys - {"where"}) if not re.search(rf"\b{key}\b", text)]
    assert missing == []
    assert [name for name in (*OVERRIDES, "TRUNKLINE_CONFIG", "TRUNKLINE_CACHE") if name not in text] == []


@parametrize("python")
def test_every_python_sample_is_python(text: str) -> None:
    ast.parse(text)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every `trunkline ...` line in the pages, as words."""
    for page in PAGES:
        text = page.read_text()
        lines = re.findall(r"^\$? ?((?:\.venv/bin/)?trunkline [^\n#`]*)", text, re.MULTILINE) + re.findall(
            r"`(trunkline [^`\n]+)`", text
        )
        for line in lines:
            yield f"{name_of(page)}: {line}", shlex.split(re.sub(r"\s[&|>].*$", "", line), comments=True)[1:]


ALL_COMMANDS = list(commands())


@pytest.mark.parametrize("words", [words for _, words in ALL_COMMANDS], ids=[name for name, _ in ALL_COMMANDS])
def test_every_command_shown_exists_with_its_options(words: list[str]) -> None:
    command: click.Command | None = cli
    with click.Context(cli) as context:
        while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z-]+", words[0]) and "|" not in words[0]:
            parent, command, words = command, command.get_command(context, words[0]), words[1:]
            assert command is not None, f"{parent.name} has no such command"
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
    used = {word.strip("[]").split("=")[0] for word in words if word.strip("[").startswith("--")}
    assert used <= known


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_shown_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"^make ([a-z-]+)", page.read_text(), re.MULTILINE)) | set(
        re.findall(r"`make ([a-z-]+)`", page.read_text())
    )
    assert shown <= targets


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_no_file_names_the_host_of_a_package_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    files = [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file() and ROOT / line != Path(__file__)]
    assert len(files) > 100
    assert [name_of(path) for path in files if REGISTRIES.search(path.read_text(errors="ignore"))] == []
