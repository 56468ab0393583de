"""`trunkline keys`: make, list, change, rotate and revoke API keys. In: the configuration file, which names the store. Out: a table, or JSON for programs.

A secret is shown when its key is made, and never again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from trunkline.accounts.keys import ApiKey, IssuedKey, is_valid
from trunkline.accounts.types import KeyKind
from trunkline.cli.desk import Lifetime, at_desk, body, common, date, now_ms
from trunkline.cli.opening import ROOT

PROTOCOLS = ("openai.chat", "openai.responses", "anthropic.messages", "gemini")
LIMITS = ("models", "providers", "protocols", "requests_per_minute", "tokens_per_minute", "concurrency", "data_policy")
MOST = 100_000


def _rules(command: Callable[..., None]) -> Callable[..., None]:
    """What a key may do."""
    options = (
        click.option("--model", "models", multiple=True, help="A model it may call, or author/*. May be repeated."),
        click.option("--provider", "providers", multiple=True, help="A provider it may use. May be repeated."),
        click.option(
            "--protocol",
            "protocols",
            type=click.Choice(PROTOCOLS),
            multiple=True,
            help="A protocol its callers may speak. May be repeated.",
        ),
        click.option("--rpm", "requests_per_minute", type=click.IntRange(min=1), help="Requests a minute."),
        click.option("--tpm", "tokens_per_minute", type=click.IntRange(min=1), help="Tokens a minute."),
        click.option("--concurrency", type=click.IntRange(min=1), help="Requests under way at once."),
        click.option("--no-training", is_flag=True, help="Only providers that do not train on what is sent."),
        click.option("--no-storing", is_flag=True, help="Only providers that keep nothing."),
        click.option("--region", default="", help="Only providers in this region, e.g. eu."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def keys() -> None:
    """Make, list, change, rotate and revoke API keys."""


@keys.command()
@click.option("--name", default="unnamed", show_default=True, help="Who or what the key is for.")
@click.option("--expires", "expires_s", type=Lifetime(), help="End of the key from now on, e.g. 30d [default: never].")
@click.option("--zero-retention", is_flag=True, help="Store no responses and no state of what is said with it.")
@click.option("--management", is_flag=True, help="A key for the management API, which calls no models.")
@click.option("--org", "organisation", help="Organisation [default: the first].")
@click.option("--member", "member_id", default="", help="Whose key it is, by id [default: the organisation's own].")
@click.option("--project", "project_id", default="", help="Project, by id.")
@click.option(
    "--budget", "budgets", multiple=True, help="USD/PERIOD that it may spend, e.g. 25/month. May be repeated."
)
@_rules
@common
def create(
    name: str,
    expires_s: int | None,
    zero_retention: bool,
    management: bool,
    organisation: str | None,
    member_id: str,
    project_id: str,
    budgets: tuple[str, ...],
    config: Path | None,
    as_json: bool,
    **rules: Any,
) -> None:
    """Make a key. Its secret is shown this once."""
    from trunkline.api.management.budgets import make_key_with_budgets
    from trunkline.api.management.key_bodies import NewKey

    fields = {
        "name": name,
        "expires_in_s": expires_s,
        "zero_retention": zero_retention,
        "kind": "management" if management else "inference",
        "organisation": organisation,
        "member_id": member_id,
        "project_id": project_id,
        "rules": _given(rules),
        "budgets": [dict(zip(("limit_usd", "period"), one.split("/", 1), strict=False)) for one in budgets],
    }
    wanted = body(NewKey, fields)
    issued = at_desk(config, lambda desk: make_key_with_budgets(desk, ROOT, wanted), names_models=_names_models(rules))
    _tell_issued(issued, as_json)


@keys.command(name="list")
@click.option("--state", type=click.Choice(["valid", "expired", "revoked"]), help="Only those.")
@click.option("--text", default="", help="Part of a name, an id, or the end of a secret.")
@click.option("--kind", type=click.Choice(["inference", "management"]), help="Only those.")
@click.option("--org", "org_id", default="", help="Organisation [default: all].")
@click.option("--member", "member_id", help="Whose, by id.")
@click.option("--project", "project_id", default="", help="Of which project, by id.")
@common
def list_(
    state: Any,
    text: str,
    kind: KeyKind | None,
    org_id: str,
    member_id: str | None,
    project_id: str,
    config: Path | None,
    as_json: bool,
) -> None:
    """Show keys, newest first; of each only the end of its secret."""
    from trunkline.storage.api_keys import KeyQuery, find_keys

    query = KeyQuery(org_id, member_id, project_id, kind or "", state or "", text, limit=MOST)
    found = at_desk(config, lambda desk: find_keys(desk.store, query, desk.now_ms))
    if as_json:
        click.echo(json.dumps([_public(key) for key in found]))
        return
    _print_table(found, now_ms())


@keys.command()
@click.argument("id_", metavar="ID")
@common
def show(id_: str, config: Path | None, as_json: bool) -> None:
    """Show what a key may do."""
    from trunkline.api.management.key_changes import seen_key

    _tell(at_desk(config, lambda desk: seen_key(desk, ROOT, id_)), as_json)


@keys.command()
@click.argument("id_", metavar="ID")
@click.option("--name", help="Another name.")
@click.option("--expires", "expires_s", type=Lifetime(), help="Another end, from now on.")
@click.option("--never-expires", is_flag=True, help="Take its end away.")
@click.option(
    "--no-limit", "lifted", type=click.Choice(LIMITS), multiple=True, help="Take a limit away. May be repeated."
)
@_rules
@common
def limit(
    id_: str,
    name: str | None,
    expires_s: int | None,
    never_expires: bool,
    lifted: tuple[str, ...],
    config: Path | None,
    as_json: bool,
    **rules: Any,
) -> None:
    """Change what a key may do. What is not named stays as it is."""
    from trunkline.api.management.key_bodies import ChangedKey, RulesBody
    from trunkline.api.management.key_changes import change

    if never_expires and expires_s is not None:
        raise click.UsageError("--expires and --never-expires do not go together")
    blank = RulesBody().model_dump()
    given = {limit: blank[limit] for limit in lifted} | _given(rules)
    fields: dict[str, Any] = {"name": name, "expires_in_s": expires_s, "rules": given or None}
    wanted = body(ChangedKey, fields)
    if never_expires:
        wanted = wanted.model_copy(update={"expires_at": None})
        wanted.model_fields_set.add("expires_at")
    if not wanted.model_fields_set:
        raise click.UsageError("nothing is to be changed; name a limit, e.g. --rpm 60")
    _tell(at_desk(config, lambda desk: change(desk, ROOT, id_, wanted), names_models=_names_models(rules)), as_json)


@keys.command()
@click.argument("id_", metavar="ID")
@click.option(
    "--overlap",
    "overlap_s",
    type=Lifetime(),
    help="For so long the old secret goes on, e.g. 1d [default: it ends at once].",
)
@click.option(
    "--expires",
    "expires_s",
    type=Lifetime(),
    help="End of the new one from now on [default: it lasts as long as the old one did].",
)
@common
def rotate(id_: str, overlap_s: int | None, expires_s: int | None, config: Path | None, as_json: bool) -> None:
    """Make a key with a new secret, the same rules and budgets, in place of this one."""
    from trunkline.api.management.key_bodies import RotatedKey
    from trunkline.api.management.key_changes import rotate as rotate_key

    wanted = body(RotatedKey, {"overlap_s": overlap_s or 0, "expires_in_s": expires_s})
    issued, old = at_desk(config, lambda desk: rotate_key(desk, ROOT, id_, wanted))
    _tell_issued(issued, as_json)
    if not as_json:
        click.echo(f"{old.id}, the old one: {_state(old, now_ms())}", err=True)


@keys.command()
@click.argument("id_", metavar="ID")
@common
def revoke(id_: str, config: Path | None, as_json: bool) -> None:
    """End a key for good. Requests that are under way go on; the next ones are refused."""
    from trunkline.api.management.key_changes import revoke as revoke_key
    from trunkline.errors import NotFound

    try:
        key = at_desk(config, lambda desk: revoke_key(desk, ROOT, id_))
    except NotFound:
        raise click.ClickException(f"there is no key {id_}; `trunkline keys list` shows them") from None
    if as_json:
        click.echo(json.dumps(_public(key)))
        return
    click.echo(f"{key.id} ({key.name}) is revoked.")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The rules that were named."""
    lists = {name: list(options[name]) for name in ("models", "providers", "protocols") if options[name]}
    numbers = {
        name: options[name]
        for name in ("requests_per_minute", "tokens_per_minute", "concurrency")
        if options[name] is not None
    }
    policy = {
        "no_training": options["no_training"],
        "zero_retention": options["no_storing"],
        "region": options["region"],
    }
    return lists | numbers | ({"data_policy": policy} if any(policy.values()) else {})


def _names_models(options: dict[str, Any]) -> bool:
    return bool(options["models"] or options["providers"])


def _tell_issued(issued: IssuedKey, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"secret": issued.secret, **_public(issued.key)}))
        return
    click.echo(f"{issued.secret}\n")
    click.secho("This is the only time that the key is shown: keep it now.", bold=True, err=True)
    click.echo(f"{issued.key.id} ({issued.key.name}), {_state(issued.key, issued.key.created_ms)}", err=True)


def _tell(key: ApiKey, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_public(key)))
        return
    shown = _public(key)
    rules = shown.pop("rules")
    lines = {
        "state": _state(key, now_ms()),
        **{name: value for name, value in shown.items() if value not in ("", None)},
    }
    for name, value in (*lines.items(), *rules.items()):
        click.echo(f"{name}: {', '.join(value) if isinstance(value, (list, tuple)) else value}")


def _print_table(found: list[ApiKey], now_ms: int) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    id_ = Column("id", no_wrap=True)
    table = Table(id_, "name", "ends in", "made (UTC)", "state (UTC)", box=None, header_style="bold")
    for key in found:
        table.add_row(key.id, key.name, key.hint, date(key.created_ms), _state(key, now_ms))
    Console().print(table if found else "There are no keys yet; make one with: trunkline keys create --name NAME")


def _state(key: ApiKey, now_ms: int) -> str:
    if key.revoked_ms is not None:
        return f"revoked {date(key.revoked_ms)}"
    if not is_valid(key, now_ms):
        return f"expired {date(key.expires_ms or now_ms)}"
    return "valid" if key.expires_ms is None else f"until {date(key.expires_ms)}"


def _public(key: ApiKey) -> dict[str, Any]:
    """Without the hash: nobody needs it who may see this."""
    fields: dict[str, Any] = msgspec.to_builtins(key)
    fields.pop("hash")
    return fields
