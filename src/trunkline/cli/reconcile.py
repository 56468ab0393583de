"""`trunkline reconcile`: compares a provider's export of usage or costs with the records. In: a file, the configuration. Out: a table, or JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trunkline.cli.opening import open_store
from trunkline.pricing.money import usd
from trunkline.reconcile.exports import SOURCES
from trunkline.reconcile.types import Measure
from trunkline.settings import Settings, load_settings

if TYPE_CHECKING:
    from trunkline.reconcile.compare import Comparison, Outcome
    from trunkline.reconcile.types import Export

HEADINGS: dict[Measure, str] = {
    "requests": "requests",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "cost_pico_usd": "cost, USD",
}


class _KeyPair(click.ParamType[tuple[str, str]]):
    """`key_abc=#2`: the provider's id of a key, and which of ours it is."""

    name = "id=#n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        theirs, _, ours = value.rpartition("=")
        if not theirs or not ours:
            self.fail(f"{value!r} is no pair; write for example key_abc=#2", param, ctx)
        return theirs, ours


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--provider", type=click.Choice(list(SOURCES)), required=True, help="Whose export it is.")
@click.option(
    "--as", "slugs", multiple=True, help="Provider of ours that this account serves [default: by --provider]."
)
@click.option(
    "--key", "keys", multiple=True, type=_KeyPair(), help="The provider's id of a key, and which of ours: id=#2."
)
@click.option("--tolerance", type=click.FloatRange(0), default=1.0, show_default=True, help="Percent that may differ.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file [default: ./trunkline.toml, if there].",
)
def reconcile(
    file: Path,
    provider: str,
    slugs: tuple[str, ...],
    keys: tuple[tuple[str, str], ...],
    tolerance: float,
    as_json: bool,
    config: Path | None,
) -> None:
    """Compare FILE, a provider's export of usage or costs, with the records; by day in UTC, model and key.

    Exit code 1 where they differ by more than the tolerance.
    """
    from trunkline.reconcile.compare import Comparison

    source = SOURCES[provider]
    export = source.read(file.read_bytes())
    comparison = Comparison(export, slugs or source.providers, dict(keys))
    asyncio.run(_gather(load_settings(config), export, comparison))
    outcome = comparison.outcome()
    if as_json:
        click.echo(json.dumps(_public(outcome, export.days)))
    else:
        _print(outcome, export.days)
    if outcome.worst_percent > tolerance:
        raise click.exceptions.Exit(1)


async def _gather(settings: Settings, export: Export, comparison: Comparison) -> None:
    from trunkline.storage.export import Span, pieces

    if not export.days:
        return
    # An attempt may begin long after its request was received.
    since, until = _moment(min(export.days)) - timedelta(days=1), _moment(max(export.days)) + timedelta(days=1)
    async with await open_store(settings) as store:
        async for found in pieces(store, Span(since.timestamp() * 1000, until.timestamp() * 1000)):
            for record in found:
                comparison.add(record)


def _moment(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def _print(outcome: Outcome, days: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not days:
        click.echo("The export tells of no day: there is nothing to compare.")
        return
    table = Table("day (UTC)", "model", "key", "", *(HEADINGS[one] for one in outcome.measures), box=None)
    for row in outcome.differences:
        for who, sums in (("ours", row.ours), ("theirs", row.theirs)):
            cells = (_shown(measure, sums.of(measure)) for measure in outcome.measures)
            table.add_row(*((row.day, row.model, row.key) if who == "ours" else ("", "", "")), who, *cells)
    if outcome.differences:
        Console(width=160).print(table)
    click.echo(f"{min(days)} to {max(days)}: {outcome.compared} lines compared, {len(outcome.differences)} differ.")
    for measure in outcome.measures:
        ours, theirs = outcome.ours.of(measure), outcome.theirs.of(measure)
        click.echo(
            f"{HEADINGS[measure]}: ours {_shown(measure, ours)}, theirs {_shown(measure, theirs)}, "
            f"{outcome.percent(measure):.3f} % apart"
        )


def _public(outcome: Outcome, days: Sequence[str]) -> dict[str, Any]:
    def side(sums: Any) -> dict[str, Any]:
        return {
            "cost_usd" if one == "cost_pico_usd" else one: usd(sums.of(one)) if one == "cost_pico_usd" else sums.of(one)
            for one in outcome.measures
        }

    return {
        "days": list(days),
        "compared": outcome.compared,
        "differences": [
            {"day": one.day, "model": one.model, "key": one.key, "ours": side(one.ours), "theirs": side(one.theirs)}
            for one in outcome.differences
        ],
        "ours": side(outcome.ours),
        "theirs": side(outcome.theirs),
        "percent": {one.removesuffix("_pico_usd"): outcome.percent(one) for one in outcome.measures},
    }


def _shown(measure: Measure, amount: int) -> str:
    return usd(amount) if measure == "cost_pico_usd" else f"{amount:,}"
