"""`trunkline restart`: new processes in the place of the running gateway's, one after the other, so that no request is lost."""

import os
import signal
from pathlib import Path

import click

from trunkline.cli.serve import ServeError, check_catalog, running_pid
from trunkline.settings import load_settings


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The file that the gateway was started with [default: ./trunkline.toml].",
)
def restart(config: Path | None) -> None:
    """Restart the running gateway's processes: for settings that need a start, or a new version of the program."""
    settings = load_settings(config)
    check_catalog(settings)
    pid = running_pid(settings.pid_path)
    if pid is None:
        raise ServeError("no gateway runs on this store here; start one with `trunkline serve`")
    os.kill(pid, signal.SIGUSR2)
    click.echo(f"The gateway (process {pid}) restarts its processes one after the other; its log says so.")
