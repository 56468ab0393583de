"""`trunkline reload`: checks the changed file, then tells the running gateway to take it over. A bad file is refused
here already."""

import os
import signal
from pathlib import Path

import click

from trunkline.cli.serve import ServeError, check_catalog, running_pid
from trunkline.settings import load_settings
from trunkline.storage.url import store_of


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The file that the gateway was started with [default: ./trunkline.toml].",
)
def reload(config: Path | None) -> None:
    """Take a changed file over into the running gateway, without dropping a stream."""
    settings = load_settings(config)
    check_catalog(settings)
    pid = running_pid(settings.pid_path)
    if pid is None:
        raise ServeError(f"no gateway runs on {store_of(settings.store.url).shown}; start one with `trunkline serve`")
    os.kill(pid, signal.SIGHUP)
    click.echo(f"The gateway (process {pid}) takes {settings.path or 'its environment'} over; its log says so.")
