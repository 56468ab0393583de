"""`trunkline backup` and `trunkline restore`: a copy of the store, and a store made from one. In: the configuration file, which names the store; a file."""

import time
from pathlib import Path

import click

from trunkline.settings import load_settings

_CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file [default: ./trunkline.toml, if there].",
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_CONFIG
def backup(file: Path, config: Path | None) -> None:
    """Copy the store into FILE, while the gateway runs. SQLite only."""
    from rich.console import Console

    from trunkline.storage.backup import backup as copy

    settings = load_settings(config)
    with Console(stderr=True).status(f"Copying {settings.store.path}"):
        copy(settings.store.url, file)
    click.echo(f"{settings.store.path} was copied to {file}, and the copy is whole.")
    click.echo(
        f"Not in it: {settings.secrets_path}, without which keys and stored credentials are of no use. Keep a copy of it, in "
        "another place than this one. Nor are captured bodies in it (see docs/backup.md)."
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--yes", is_flag=True, help="Do not ask.")
@_CONFIG
def restore(file: Path, yes: bool, config: Path | None) -> None:
    """Put FILE, a copy by `trunkline backup`, in the place of the store. The gateway must be stopped."""
    from trunkline.storage.backup import restore as put_back
    from trunkline.storage.migrate import upgrade

    settings = load_settings(config)
    if settings.store.path.exists() and not yes:
        click.confirm(f"{settings.store.path} is put aside, and {file} takes its place. Go on?", abort=True, err=True)
    before = put_back(settings.store.url, file, now_s=int(time.time()))
    upgrade(settings.store.url)
    click.echo(f"{settings.store.path} is what {file} was.")
    if before is not None:
        click.echo(f"The store that was there is {before}; remove it when you are sure.")
    if not settings.secrets_path.exists():
        click.echo(
            f"{settings.secrets_path} is missing: put the copy of it back before the start, or all keys are lost."
        )
