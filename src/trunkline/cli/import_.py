"""`trunkline import litellm CONFIG.yaml`: another gateway's configuration as ours. Out: a `trunkline.toml`, and what was not taken over, with why."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from trunkline.takeover.litellm import Taken


@click.group(name="import")
def import_() -> None:
    """Take over another gateway's configuration."""


@import_.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--write",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the new configuration there [default: print it].",
)
def litellm(file: Path, target: Path | None) -> None:
    """Read LiteLLM's FILE, and say what was taken over, what was not, and why. Secrets are not copied."""
    from trunkline.catalog.load import shipped_catalog
    from trunkline.takeover.litellm import take_over
    from trunkline.takeover.toml import write_toml

    try:
        taken = take_over(_read(file), shipped_catalog())
    except ValueError as error:
        raise click.ClickException(f"{file}: {error}") from None
    text = f"# Taken over from {file.name} by `trunkline import litellm`.\n\n{write_toml(taken.tables)}"
    fault = _fault(text)
    _report(taken, fault)
    if target is None:
        click.echo(text, nl=False)
        return
    try:
        # Never in place of a configuration that is there.
        with target.open("x") as new:
            new.write(text)
    except FileExistsError:
        raise click.ClickException(f"{target} is there already; name another file") from None
    except OSError as error:
        raise click.ClickException(f"{target} cannot be written: {error.strerror}") from None
    click.echo(f"{target} is written; check it with: trunkline doctor --config {target}", err=True)


def _read(file: Path) -> dict[str, object]:
    import yaml

    try:
        raw = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" at line {place.line + 1}" if place is not None else ""
        raise ValueError(f"is no YAML{where}") from None
    if not isinstance(raw, dict):
        raise ValueError("is no LiteLLM configuration: it has no `model_list`")
    return raw


def _fault(text: str) -> str:
    """What is wrong with the new configuration, were it loaded with every variable that it names."""
    from trunkline.errors import ConfigError
    from trunkline.settings import load_settings
    from trunkline.snapshot import build

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trunkline.toml"
        path.write_text(text)
        try:
            build(load_settings(path, dict.fromkeys(re.findall(r'"env:(\w+)"', text), "a-key-for-checking")))
        except ConfigError as error:
            return str(error).replace(str(path), "the new file")
    return ""


def _report(taken: Taken, fault: str) -> None:
    for line in taken.done:
        click.echo(f"taken over   {line}", err=True)
    for line in taken.left:
        click.secho(f"not taken    {line}", fg="yellow", err=True)
    if fault:
        click.secho(f"to be mended {fault}", fg="red", err=True)
