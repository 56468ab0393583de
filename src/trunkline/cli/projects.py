"""`trunkline projects`: what keys and budgets are grouped by. In: the configuration file, which names the store. Out: a table, or JSON."""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from trunkline.accounts.types import DEFAULT_ORGANISATION, Project
from trunkline.cli.opening import ROOT, ask_store, common_options
from trunkline.settings import load_settings

if TYPE_CHECKING:
    from trunkline.storage.queries import Store

MOST = 1_000


@click.group()
def projects() -> None:
    """What keys and budgets are grouped by: make, list, rename, archive."""


@projects.command(name="list")
@click.option("--org", "org_id", default=DEFAULT_ORGANISATION, show_default=True, help="Organisation.")
@click.option("--archived", is_flag=True, help="Those that are archived.")
@common_options
def list_(org_id: str, archived: bool, config: Path | None, as_json: bool) -> None:
    """Show the projects of an organisation, newest first."""
    from trunkline.storage.projects import ProjectQuery, find_projects

    query = ProjectQuery(org_id, archived=archived, limit=MOST)
    found = ask_store(load_settings(config), lambda store: find_projects(store, query))
    if as_json:
        click.echo(json.dumps([msgspec.structs.asdict(one) for one in found]))
        return
    _print_table(found)


@projects.command()
@click.argument("name")
@click.option("--org", "org_id", default=DEFAULT_ORGANISATION, show_default=True, help="Organisation.")
@common_options
def create(name: str, org_id: str, config: Path | None, as_json: bool) -> None:
    """Make a project with this NAME."""
    from trunkline.storage.people import organisation
    from trunkline.storage.projects import make_project

    async def act(store: Store) -> Project:
        if await organisation(store, org_id) is None:
            raise click.ClickException(f"there is no organisation {org_id}")
        new = Project(f"prj_{secrets.token_hex(10)}", org_id, _checked(name), _now_ms())
        return await make_project(store, new, ROOT)

    _tell(ask_store(load_settings(config), act), "is made", as_json=as_json)


@projects.command()
@click.argument("id_", metavar="ID")
@click.argument("name")
@common_options
def rename(id_: str, name: str, config: Path | None, as_json: bool) -> None:
    """Give the project with this ID another NAME."""
    from trunkline.storage.projects import rename_project

    settings = load_settings(config)
    _tell(
        ask_store(settings, lambda store: rename_project(store, id_, _checked(name), ROOT, _now_ms())),
        "is renamed",
        as_json=as_json,
    )


@projects.command()
@click.argument("id_", metavar="ID")
@common_options
def archive(id_: str, config: Path | None, as_json: bool) -> None:
    """Put the project with this ID out of the way. Its keys go on."""
    from trunkline.storage.projects import archive_project

    settings = load_settings(config)
    _tell(
        ask_store(settings, lambda store: archive_project(store, id_, ROOT, _now_ms())), "is archived", as_json=as_json
    )


@projects.command()
@click.argument("id_", metavar="ID")
@common_options
def restore(id_: str, config: Path | None, as_json: bool) -> None:
    """Take an archived project back into use."""
    from trunkline.storage.projects import archive_project

    settings = load_settings(config)
    restored = ask_store(settings, lambda store: archive_project(store, id_, ROOT, _now_ms(), archived=False))
    _tell(restored, "is in use again", as_json=as_json)


def _checked(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 100:
        raise click.UsageError("a name has 1 to 100 characters")
    return name


def _tell(one: Project, what: str, *, as_json: bool) -> None:
    click.echo(json.dumps(msgspec.structs.asdict(one)) if as_json else f"{one.id} ({one.name}) {what}.")


def _print_table(found: list[Project]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("id", no_wrap=True), "name", "made (UTC)", box=None, header_style="bold")
    for one in found:
        table.add_row(one.id, one.name, f"{datetime.fromtimestamp(one.created_ms / 1000, UTC):%Y-%m-%d %H:%M}")
    Console().print(table if found else "There are none; make one with: trunkline projects create NAME")


def _now_ms() -> int:
    return int(time.time() * 1000)
