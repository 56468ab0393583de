"""`trunkline migrate`: brings the store to this version's schema. `serve` does it too, at its start; this is for those
who do it apart."""

from pathlib import Path

import click

from trunkline.settings import load_settings
from trunkline.storage.url import store_of


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help="Configuration file [default: ./trunkline.toml, if there]."
)
def migrate(config: Path | None) -> None:
    """Bring the store to this version's schema; does nothing where it is there already."""
    from trunkline.storage.migrate import is_current, upgrade

    settings = load_settings(config)
    if is_current(settings.store.url):
        click.echo(f"{store_of(settings.store.url).shown} is current.")
        return
    upgrade(settings.store.url)
    click.echo(f"{store_of(settings.store.url).shown} was brought to this version's schema.")
