"""The last day of some offers, for the data plane. In: their names. Out: figures by the hour, from the rollups.

On the driver; some 10 µs a row, so for a thread and not for the event loop.
"""

from collections.abc import Mapping, Sequence

from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S, OfferFigures
from trunkline.storage.columns import OFFER_ROLLUP_COLUMNS, OFFERS_ROLLED
from trunkline.storage.figure_rows import merge_row
from trunkline.storage.ladder import Ladder, Span
from trunkline.storage.reading import reader_of
from trunkline.storage.rollups import KEEP_HOURS_S, KEEP_MINUTES_S

_AT_ONCE = 100
# S608: names are constants of ours.
_SELECT = (
    f"SELECT start_s, offer, {', '.join(OFFER_ROLLUP_COLUMNS[3:])} FROM offer_rollups "  # noqa: S608
    "WHERE width_s = ? AND start_s >= ? AND start_s < ? AND offer IN "
)
_MARK = "SELECT value FROM meta WHERE key = ?"


class LiveFigures:
    """Lives as long as the process. Used by one thread at a time; the store is opened at the first question."""

    def __init__(self, url: str) -> None:
        self._reader = reader_of(url)

    def last_day(self, offers: Sequence[str], now_ms: float) -> dict[str, Mapping[int, OfferFigures]]:
        """Of each offer that had attempts: hour (Unix seconds) -> figures, of this hour and the 23 before. StoreError when the store cannot be read."""
        now_s = int(now_ms // 1000)
        span = Span(now_s - now_s % HOUR_S - DAY_S + HOUR_S, now_s + MINUTE_S)
        found: dict[str, dict[int, OfferFigures]] = {}
        for at in range(0, len(offers), _AT_ONCE):
            # One view of the store: between two statements a minute may become part of its hour.
            with self._reader.view():
                self._some(offers[at : at + _AT_ONCE], span, now_s, found)
        return {offer: dict(sorted(hours.items())) for offer, hours in found.items()}

    def close(self) -> None:
        """Give the connection up; the next question opens another."""
        self._reader.close()

    def _some(self, offers: Sequence[str], span: Span, now_s: int, found: dict[str, dict[int, OfferFigures]]) -> None:
        rolled_s = int(self._reader.rows(_MARK, OFFERS_ROLLED)[0][0])
        ladder = Ladder((MINUTE_S, HOUR_S, DAY_S), rolled_s, (now_s - KEEP_MINUTES_S, now_s - KEEP_HOURS_S))
        statement = f"{_SELECT}({', '.join('?' * len(offers))})"
        for piece in ladder.pieces_of(ladder.fitted(span, HOUR_S), HOUR_S):
            rows = self._reader.rows(statement, piece.width_s, piece.start_s, piece.end_s, *offers)
            for start_s, offer, *values in rows:
                hours, hour_s = found.setdefault(offer, {}), start_s - start_s % HOUR_S
                if hour_s not in hours:
                    hours[hour_s] = OfferFigures()
                merge_row(hours[hour_s], values)
