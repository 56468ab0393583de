"""`trunkline members`: who may sign in. In: the configuration file, which names the store. Out: tables, or JSON; links, each shown this once."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from trunkline.accounts.links import LinkKind, email_of, new_link
from trunkline.accounts.secrets_file import load_or_make
from trunkline.accounts.types import DEFAULT_ORGANISATION, Member, Role
from trunkline.cli.opening import ROOT, ask_store, common_options, open_store
from trunkline.settings import Settings, load_settings

if TYPE_CHECKING:
    from trunkline.storage.queries import Store

MOST = 1_000


@click.group()
def members() -> None:
    """Who may sign in to the pages: invite, list, change, disable."""


@members.command(name="first-link")
@common_options
def first_link(config: Path | None, as_json: bool) -> None:
    """Make the link for the first administrator, where there is no member yet. It works once, within 24 hours."""
    settings = load_settings(config)
    link = asyncio.run(first_admin_link(settings))
    if link is None:
        raise click.ClickException("this gateway has members already; `trunkline members invite` invites more")
    click.echo(json.dumps({"link": link}) if as_json else link)


@members.command(name="list")
@click.option("--org", "org_id", default=DEFAULT_ORGANISATION, show_default=True, help="Organisation.")
@common_options
def list_(org_id: str, config: Path | None, as_json: bool) -> None:
    """Show the newest members of an organisation."""
    from trunkline.storage.people import MemberQuery, find_members, state_of

    query = MemberQuery(org_id, limit=MOST)
    found = ask_store(load_settings(config), lambda store: find_members(store, query))
    if as_json:
        click.echo(json.dumps([_public(one) for one in found]))
        return
    rows = [(one.id, one.email, one.name, one.role, state_of(one), _date(one.created_ms)) for one in found]
    _print_table(("id", "e-mail", "name", "role", "state", "since (UTC)"), rows, "There are no members yet.")


@members.command()
@click.argument("email")
@click.option("--role", type=click.Choice(["member", "admin"]), default="member", show_default=True)
@click.option("--name", default="", help="They can change it.")
@click.option("--org", "org_id", default=DEFAULT_ORGANISATION, show_default=True, help="Organisation.")
@common_options
def invite(email: str, role: Role, name: str, org_id: str, config: Path | None, as_json: bool) -> None:
    """Invite EMAIL: prints a link to pass on. It works once, within seven days."""
    from trunkline.storage.people import invite_member

    address = email_of(email)
    if address is None:
        raise click.UsageError(f"{email!r} is no address of mail such as alice@example.com")
    settings = load_settings(config)
    new = Member(f"mem_{secrets.token_hex(10)}", org_id, address, name, role, _now_ms())

    async def act(store: Store) -> tuple[Member, str]:
        member = await invite_member(store, new, ROOT)
        return member, await _link(store, settings, member, "join")

    member, link = ask_store(settings, act)
    click.echo(json.dumps({"member": _public(member), "link": link}) if as_json else link)


@members.command(name="password-link")
@click.argument("who")
@common_options
def password_link(who: str, config: Path | None, as_json: bool) -> None:
    """Make a link with which WHO (id or e-mail) chooses a new password."""
    from trunkline.storage.people import state_of

    settings = load_settings(config)

    async def act(store: Store) -> str:
        member = await _member(store, who)
        if state_of(member) == "disabled":
            raise click.ClickException("this member is disabled: `trunkline members enable` comes first")
        return await _link(store, settings, member, "join" if state_of(member) == "invited" else "password")

    link = ask_store(settings, act)
    click.echo(json.dumps({"link": link}) if as_json else link)


@members.command()
@click.argument("who")
@click.argument("role", type=click.Choice(["member", "admin"]))
@common_options
def role(who: str, role: Role, config: Path | None, as_json: bool) -> None:
    """Give WHO (id or e-mail) another role."""
    from trunkline.storage.people import change_member

    async def act(store: Store) -> Member:
        return await change_member(store, (await _member(store, who)).id, {"role": role}, ROOT, _now_ms())

    _tell(ask_store(load_settings(config), act), f"has the role {role}", as_json=as_json)


@members.command()
@click.argument("who")
@common_options
def disable(who: str, config: Path | None, as_json: bool) -> None:
    """End the sessions and keys of WHO (id or e-mail), and let them in no more."""
    from trunkline.storage.people import disable_member

    async def act(store: Store) -> Member:
        return await disable_member(store, (await _member(store, who)).id, ROOT, _now_ms())

    _tell(ask_store(load_settings(config), act), "is disabled", as_json=as_json)


@members.command()
@click.argument("who")
@common_options
def enable(who: str, config: Path | None, as_json: bool) -> None:
    """Let WHO (id or e-mail) sign in again. Keys that were revoked stay so."""
    from trunkline.storage.people import enable_member

    async def act(store: Store) -> Member:
        return await enable_member(store, (await _member(store, who)).id, ROOT, _now_ms())

    _tell(ask_store(load_settings(config), act), "may sign in again", as_json=as_json)


async def first_admin_link(settings: Settings) -> str | None:
    """The address that makes the first administrator; None where there are members. The one made before holds no more."""
    from trunkline.storage.people import has_members
    from trunkline.storage.sign_in import keep_link

    async with await open_store(settings) as store:
        if await has_members(store):
            return None
        pepper = load_or_make(settings.secrets_path).pepper
        path, link = new_link("first", "", pepper, secrets.token_bytes, _now_ms())
        await keep_link(store, link, ROOT, DEFAULT_ORGANISATION)
    return f"{settings.address}{path}"


async def _link(store: Store, settings: Settings, member: Member, kind: LinkKind) -> str:
    from trunkline.storage.sign_in import keep_link

    pepper = load_or_make(settings.secrets_path).pepper
    path, link = new_link(kind, member.id, pepper, secrets.token_bytes, _now_ms())
    await keep_link(store, link, ROOT, member.org_id)
    return f"{settings.address}{path}"


async def _member(store: Store, who: str) -> Member:
    from trunkline.storage.people import member, member_of_email

    if "@" in who:
        found = await member_of_email(store, who.strip().lower())
        one = found[0] if found else None
    else:
        one = await member(store, who)
    if one is None:
        raise click.ClickException(f"there is no member {who}; `trunkline members list` shows them")
    return one


def _tell(one: Member, what: str, *, as_json: bool) -> None:
    click.echo(json.dumps(_public(one)) if as_json else f"{one.email} ({one.id}) {what}.")


def _public(one: Member) -> dict[str, Any]:
    from trunkline.storage.people import state_of

    return msgspec.structs.asdict(one) | {"state": state_of(one)}


def _print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], nothing: str) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(*(Column(name, no_wrap=name == "id") for name in columns), box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    Console().print(table if rows else nothing)


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _now_ms() -> int:
    return int(time.time() * 1000)
