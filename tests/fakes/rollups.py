"""The rollups of a store, to compare: what they are, and what they must be, added up straight from the records."""

from tests.fakes.stores import AnyBatch, AnyStore
from tests.fakes.traffic import NOON_MS
from trunkline.records.figures import Gathered, OfferFigures
from trunkline.records.types import Record
from trunkline.storage.figure_rows import merge_row

MINUTE_MS = 60_000.0


def rows(store: AnyStore, table: str, width_s: int | None = None) -> dict[tuple, tuple]:
    """Key -> values; histograms of which only the sum of floats may differ in its last digits are read."""
    found = store.rows(f"SELECT * FROM {table} WHERE {'1 = 1' if width_s is None else f'width_s = {width_s}'}")
    keys = 3 if table == "offer_rollups" else 6
    return {row[:keys]: figures_of(row[keys:]) if keys == 3 else row[keys:] for row in found}


def figures_of(values: tuple) -> OfferFigures:
    figures = OfferFigures()
    merge_row(figures, values)
    return figures


def of_width(records: list[Record], width_s: int) -> dict[tuple, OfferFigures]:
    """What the rows of a width must be, added up straight from the records."""
    found: dict[tuple, OfferFigures] = {}
    for record in records:
        gathered = Gathered()
        gathered.see([record])
        for (start_s, offer), figures in gathered.offers.items():
            found.setdefault((width_s, start_s - start_s % width_s, offer), OfferFigures()).merge(figures)
    return found


def live(batch: AnyBatch, records: list[Record], until_ms: float = NOON_MS) -> None:
    """As the gateway does it: batches, a fold a second, house-keeping each minute. Of minutes in which nothing ended, the first and the last are enough."""
    now_ms = records[0].ended_ms
    waiting: list[Record] = []
    for record in records:
        while record.ended_ms > now_ms + MINUTE_MS:
            if not waiting:
                now_ms += (record.ended_ms - now_ms) // MINUTE_MS * MINUTE_MS - MINUTE_MS
            batch.write(waiting, [], [])
            waiting = []
            batch.fold(now_ms)
            now_ms += MINUTE_MS
            batch.purge(now_ms, 10)
        waiting.append(record)
    batch.write(waiting, [], [])
    batch.fold(until_ms)
    batch.purge(until_ms, 10)
