"""`trunkline figures rebuild`: makes the figures of offers and of use anew from the records. In: the configuration file, which names the store."""

import time
from pathlib import Path

import click

from trunkline.settings import load_settings
from trunkline.storage.url import store_of


@click.group()
def figures() -> None:
    """What the records add up to: latency, uptime, tokens, cost."""


@figures.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file [default: ./trunkline.toml, if there].",
)
def rebuild(config: Path | None) -> None:
    """Make all figures anew from the records. The gateway must be stopped; it needs no such call to keep them up to date."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from trunkline.storage.migrate import is_current, upgrade
    from trunkline.storage.rebuild import rebuild as rebuild_all

    settings = load_settings(config)
    if not is_current(settings.store.url):
        upgrade(settings.store.url)
    columns = (TextColumn("records"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=None)
        rebuild_all(
            settings.store.url,
            time.time() * 1000,
            lambda done, total: shown.update(task, completed=done, total=total),
        )
    click.echo(f"The figures in {store_of(settings.store.url).shown} were made anew.")
