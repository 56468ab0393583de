"""`trunkline models`: weights of the local models: pull, import, list, remove."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click


@click.group()
def models() -> None:
    """Weights of the models that run on this machine."""


@models.command("pull")
@click.argument("name", default="")
def pull_command(name: str) -> None:
    """Fetch the weights of NAME (default: the one that `trunkline run` uses)."""
    from trunkline.embedded.manifest import DEFAULT_MODEL, load_manifest
    from trunkline.embedded.sources import default_sources
    from trunkline.embedded.weights import known, pull
    from trunkline.settings import load_settings

    settings = load_settings()
    name = name or DEFAULT_MODEL
    weights = known(name, load_manifest())
    click.echo(f"{weights.title}: {weights.bytes / 1e6:.0f} MB, {weights.licence}, SHA-256 {weights.sha256}")
    with Bar(name) as bar:
        path = pull(name, settings.cache_dir, default_sources(settings.env), bar)
    click.echo(f"{path}\ncall it as local/{name.removeprefix('local/')}")


@models.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_command(file: Path) -> None:
    """Take weights from FILE, brought from elsewhere; its SHA-256 must be one of the manifest."""
    from trunkline.embedded.weights import import_file
    from trunkline.settings import load_settings

    with Bar(file.name) as bar:
        name = import_file(file, load_settings().cache_dir, bar)
    click.echo(f"imported; call it as local/{name}")


@models.command("list")
@click.option("--verify", is_flag=True, help="Compute the hash of each file anew.")
def list_command(verify: bool) -> None:
    """Show which local models there are, and which are here."""
    from rich.console import Console
    from rich.table import Table

    from trunkline.embedded import machine
    from trunkline.embedded.manifest import load_manifest
    from trunkline.settings import load_settings

    cache_dir = load_settings().cache_dir
    table = Table("Model", "Size", "Licence", "State", box=None)
    for name, weights in load_manifest().items():
        table.add_row(
            f"local/{name}", f"{weights.bytes / 1e6:.0f} MB", weights.licence, _state(weights, cache_dir, verify)
        )
    console = Console()
    console.print(table)
    for reason in machine.runtime_reasons():
        console.print(f"[yellow]Cannot run here: {reason}", soft_wrap=True)


@models.command("remove")
@click.argument("name")
def remove_command(name: str) -> None:
    """Delete the weights of NAME from the cache."""
    from trunkline.embedded.weights import remove
    from trunkline.settings import load_settings

    freed_bytes = remove(name, load_settings().cache_dir)
    click.echo(f"{freed_bytes / 1e6:.0f} MB came free" if freed_bytes else f"{name} was not here")


def _state(weights: Any, cache_dir: Path, verify: bool) -> str:
    from trunkline.embedded.weights import Silent, find, sha256_of

    path = find(weights, cache_dir)
    if path is None:
        return "[dim]not fetched"
    if not verify:
        return "[green]here"
    return (
        "[green]here, hash right"
        if sha256_of(path, Silent()) == weights.sha256
        else "[red]here, but changed: remove it"
    )


class Bar:
    """Shows a pull on the terminal. Lives as long as the pull."""

    def __init__(self, title: str) -> None:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (TextColumn(title), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns)
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False, soft_wrap=True)

    def at(self, done_bytes: int, total_bytes: int) -> None:
        self._progress.update(self._task, completed=done_bytes, total=total_bytes)
