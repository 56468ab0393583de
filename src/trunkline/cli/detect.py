"""`trunkline detect`: which model servers already run on this machine, and why the others are not there."""

import asyncio
from collections.abc import Mapping
from typing import Any

import click


@click.command()
@click.option("--config", type=click.Path(dir_okay=False, path_type=str), help="File whose [server] port is our own.")
@click.option("--json", "as_json", is_flag=True, help="For other programs.")
def detect(config: str | None, as_json: bool) -> None:
    """Look for model servers at their usual ports, on loopback only, without keys."""
    from pathlib import Path

    from trunkline.settings import load_settings

    settings = load_settings(Path(config) if config else None)
    found = asyncio.run(_detect(settings.env, settings.server.port))
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(found).decode())
    else:
        _print(found)


async def _detect(env: Mapping[str, str], own_port: int) -> Any:
    from trunkline.embedded.detect import detect as look

    return await look(env, own_ports=(own_port,))


def _print(detection: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("Server", "Where", "Models", box=None, title="Model servers on this machine", title_justify="left")
    for server in detection.found:
        table.add_row(f"[green]{server.name}", server.base_url, ", ".join(server.models) or "none loaded")
    for name, reason in detection.absent:
        table.add_row(f"[dim]{name}", f"[dim]{reason}", "")
    Console().print(table)
