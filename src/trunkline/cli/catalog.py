"""`trunkline catalog`: check, build, compare, explain and fetch what is known of models, offers and prices.

In: arguments, the operator's configuration. Out: text on the terminal; exit code 1 where a check fails.
"""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from trunkline.catalog.explain import Change
    from trunkline.catalog.schema import CatalogLayer
    from trunkline.catalog.types import Catalog
    from trunkline.settings import Settings

CONFIG = click.option("--config", type=click.Path(path_type=Path), help="The configuration file.")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

MAX_FETCH_BYTES = 16 * 1024 * 1024
FETCH_TIMEOUT_S = 30
OLD_PRICE_DAYS = 120


@click.group()
def catalog() -> None:
    """Check, build, compare and explain the catalog of models, offers and prices."""


@catalog.command()
@click.argument("files", nargs=-1, type=FILE)
@CONFIG
@click.option("--today", hidden=True, type=click.DateTime(["%Y-%m-%d"]), default=None)
@click.pass_context
def check(
    context: click.Context, files: tuple[Path, ...], config: Path | None, today: datetime.datetime | None
) -> None:
    """Check FILES as further layers; without any, the shipped data and your own configuration."""
    from trunkline.catalog.load import compile_shipped, encode, load, read_layer, shipped_catalog

    shipped = compile_shipped()
    in_sync = encode(shipped) == encode(shipped_catalog())
    effective = load([read_layer(file, str(file)) for file in files]) if files else _effective(_settings(config))
    click.echo(_summary(effective))
    for note in _notes(effective, (today or datetime.datetime.now()).date()):
        click.secho(f"note: {note}", fg="yellow")
    if not in_sync:
        click.secho(
            "The compiled catalog is older than its TOML files: run `trunkline catalog build`.", fg="red", err=True
        )
        context.exit(1)


@catalog.command()
@click.option("--check", "only_check", is_flag=True, help="Write nothing; fail where the file would change.")
@click.pass_context
def build(context: click.Context, only_check: bool) -> None:
    """Compile the shipped TOML files into one file that is read at start. For who changes the shipped data."""
    from trunkline.catalog.load import COMPILED, compile_shipped, data_dir, encode

    path = Path(str(data_dir() / COMPILED))
    made = compile_shipped()
    compiled = encode(made)
    if path.is_file() and path.read_bytes() == compiled:
        click.echo(f"{_summary(made)}; {path.name} is up to date")
        return
    if only_check:
        click.secho(f"{path.name} is not up to date: run `trunkline catalog build`.", fg="red", err=True)
        context.exit(1)
    path.write_bytes(compiled)
    click.echo(f"{_summary(made)}; {path} written")


@catalog.command()
@click.argument("old", required=False, type=FILE)
@click.argument("new", required=False, type=FILE)
@CONFIG
def diff(old: Path | None, new: Path | None, config: Path | None) -> None:
    """Compare two compiled catalogs, OLD with the shipped one, or the shipped one with yours."""
    from trunkline.catalog.explain import diff as compare
    from trunkline.catalog.load import shipped_catalog

    before = _compiled(old) if old else shipped_catalog()
    after = _compiled(new) if new else shipped_catalog() if old else _effective(_settings(config))
    changes = compare(before, after)
    if not changes:
        click.echo("No difference.")
        return
    _show_changes(changes)


@catalog.command()
@click.argument("offer")
@CONFIG
def explain(offer: str, config: Path | None) -> None:
    """Show every field of OFFER (author/model:provider) with the layer and the source it came from."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    from trunkline.catalog.explain import explain as origins
    from trunkline.catalog.load import shipped_layers

    rows = origins([*shipped_layers(), *_own_layers(_settings(config))], offer)
    columns = (Column(head, overflow="fold") for head in ("Of", "Field", "Value", "Layer", "Source"))
    table = Table(*columns, title=offer, title_justify="left")
    shown = ""
    for row in rows:
        if shown and row.part != shown:
            table.add_section()
        shown = row.part
        table.add_row(*(Text(cell) for cell in (row.part, row.field, row.value, row.layer, row.source)))
    Console().print(table)


@catalog.command()
@click.argument("url")
@click.option("--to", "target", type=click.Path(path_type=Path), help="Where to put it; default: the cache.")
@CONFIG
def fetch(url: str, target: Path | None, config: Path | None) -> None:
    """Download a layer (TOML, HTTPS only), check it, and put it between the shipped data and your own.

    It may add models, offers and prices. It may not say where keys go: addresses and credentials stay yours.
    """
    from trunkline.catalog.load import check_downloaded, load

    settings = _settings(config)
    text = _download(url)
    target = target or settings.cache_dir / "catalog.toml"
    layer = check_downloaded(text, url)
    made = load([layer])
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(target)
    click.echo(f"{_summary(made)}; {target} written. A running gateway takes it over with `trunkline reload`.")


def _settings(config: Path | None) -> "Settings":
    from trunkline.settings import load_settings

    return load_settings(config)


def _own_layers(settings: "Settings") -> "list[CatalogLayer]":
    from trunkline.catalog.load import downloaded_layer

    return [*downloaded_layer(settings.downloaded_catalog), *settings.own_layers]


def _effective(settings: "Settings") -> "Catalog":
    from trunkline.catalog.load import load

    return load(_own_layers(settings))


def _compiled(path: Path) -> "Catalog":
    import msgspec

    from trunkline.catalog.types import Catalog
    from trunkline.errors import ConfigError

    try:
        return msgspec.json.decode(path.read_bytes(), type=Catalog)
    except msgspec.DecodeError as error:
        raise ConfigError(f"is not a compiled catalog: {error}", where=str(path)) from None


def _download(url: str) -> str:
    from urllib.error import URLError
    from urllib.parse import urlsplit
    from urllib.request import Request, urlopen

    from trunkline.errors import ConfigError

    if urlsplit(url).scheme != "https":
        raise ConfigError("a layer is only fetched over HTTPS: give a URL that begins with https://", where=url)
    try:
        with urlopen(Request(url), timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310 - https only, see above
            body: bytes = answer.read(MAX_FETCH_BYTES + 1)
            final_url: str = answer.url
    except (URLError, OSError) as error:
        raise ConfigError(f"cannot be fetched: {error}", where=url) from None
    if urlsplit(final_url).scheme != "https":
        raise ConfigError(f"redirects to {final_url}, which is not HTTPS: give the right URL", where=url)
    if len(body) > MAX_FETCH_BYTES:
        raise ConfigError(f"is larger than {MAX_FETCH_BYTES} bytes: that is no catalog layer", where=url)
    return body.decode("utf-8", errors="replace")


def _summary(made: "Catalog") -> str:
    offers = sum(len(model.offers) for model in made.models.values())
    return f"{len(made.models)} models, {offers} offers, {len(made.providers)} providers, version {made.version}"


def _notes(made: "Catalog", today: datetime.date) -> list[str]:
    """What is allowed and yet worth a look."""
    notes = []
    for model in made.models.values():
        if not model.offers:
            notes.append(f"{model.slug} has no offer: it cannot be called")
        for offer in model.offers:
            if not offer.price:
                notes.append(f"{offer.id} has no price: its use is counted as unpriced")
            if offer.shutdown_on and offer.shutdown_on <= today.isoformat():
                notes.append(f"{offer.id} was shut down on {offer.shutdown_on}: it is not called any more")
            checked = [line.checked for line in offer.price if line.checked]
            if checked and (today - datetime.date.fromisoformat(min(checked))).days > OLD_PRICE_DAYS:
                notes.append(f"{offer.id} has prices that were last checked on {min(checked)}")
    return notes


def _show_changes(changes: "list[Change]") -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*(Column(head, overflow="fold") for head in ("Of", "Field", "Before", "After")))
    for change in changes:
        table.add_row(*(Text(cell) for cell in (change.subject, change.field, change.before, change.after)))
    Console().print(table)
