"""`trunkline doctor`: what is right and what is not, with the mend. In: the configuration. Out: a table; exit code 1 if
something stops a start.

Changes nothing and calls nobody outside this machine.
"""

import asyncio
import os
import stat
from pathlib import Path

import click
import msgspec
from rich.console import Console as Terminal
from rich.table import Table
from rich.text import Text

from trunkline.cli.findings import look
from trunkline.cli.serve import ServeError, bound_socket, running_pid
from trunkline.errors import StoreError
from trunkline.settings import Settings, load_settings
from trunkline.storage.migrate import is_current
from trunkline.storage.url import store_of

STYLES = {"good": "green", "note": "yellow", "bad": "red"}


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. `verdict`: good, note (works, but look), bad (stops a start)."""

    what: str
    verdict: str
    text: str


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help="Configuration file [default: ./trunkline.toml, if there]."
)
def doctor(config: Path | None) -> int:
    """Check configuration, store, secrets file, weights, providers' keys and the port."""
    settings = load_settings(config)
    findings = examine(settings)
    table = Table(box=None, show_header=False)
    for finding in findings:
        table.add_row(Text(finding.verdict, STYLES[finding.verdict]), Text(finding.what), Text(finding.text))
    Terminal().print(table)
    return 1 if any(finding.verdict == "bad" for finding in findings) else 0


def examine(settings: Settings) -> list[Finding]:
    """Look at everything that a start needs."""
    here = Finding("configuration", "good", str(settings.path or "none; defaults and environment"))
    return [here, store(settings), secrets_mode(settings), port(settings), *sources(settings)]


def store(settings: Settings) -> Finding:
    path = settings.store.path
    if not settings.store.is_postgres and not path.exists():
        writable = os.access(path.parent, os.W_OK)
        text = "not there yet; the first start makes it" if writable else f"{path.parent} is not writable; make it so"
        return Finding("store", "good" if writable else "bad", f"{path}: {text}")
    try:
        current = is_current(settings.store.url)
    except StoreError as error:
        return Finding("store", "bad", str(error))
    return Finding(
        "store",
        "good",
        f"{store_of(settings.store.url).shown}: {'current' if current else 'of an older schema; the next start upgrades it'}",
    )


def secrets_mode(settings: Settings) -> Finding:
    path = settings.secrets_path
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return Finding("secrets file", "good", f"{path}: not there yet; the first start makes it")
    if mode & 0o077:
        return Finding("secrets file", "bad", f"{path} is open to other users ({mode:04o}); run: chmod 600 {path}")
    return Finding("secrets file", "good", f"{path} ({mode:04o})")


def port(settings: Settings) -> Finding:
    pid = running_pid(settings.pid_path)
    where = f"{settings.server.host} port {settings.server.port}"
    if pid is not None:
        return Finding("port", "good", f"{where}: the gateway runs (process {pid})")
    try:
        with bound_socket(settings):
            return Finding("port", "good", f"{where}: free")
    except ServeError as error:
        return Finding("port", "bad", str(error))


def sources(settings: Settings) -> list[Finding]:
    """Where models come from; none at all is worth a note, since the gateway would have nothing to call."""
    findings = asyncio.run(look(settings))
    rows = [Finding(row.name, "good" if row.found else "note", row.text) for row in findings.rows]
    count = len(findings.callable_models)
    text = (
        f"{count} can be called" if count else "none can be called; set a provider's key or run `trunkline models pull`"
    )
    return [Finding("models", "good" if count else "note", text), *rows]
