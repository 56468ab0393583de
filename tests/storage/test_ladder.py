"""Any span is covered once, whatever is rolled up and whatever has expired."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline.records.figures import DAY_S, HOUR_S, MINUTE_S
from trunkline.storage.ladder import Ladder, Piece, Span

WIDTHS = (MINUTE_S, HOUR_S, DAY_S)
DAYS = 4
times = st.integers(min_value=0, max_value=DAYS * DAY_S - 1)


def covered(pieces: list[Piece], rolled_s: int) -> list[int]:
    """The minutes that the rows of the pieces hold: a wide row holds of its time what is rolled up."""
    found: list[int] = []
    for piece in pieces:
        for start_s in range(piece.start_s - piece.start_s % -piece.width_s, piece.end_s, piece.width_s):
            end_s = start_s + piece.width_s
            held = range(start_s, end_s if piece.width_s == MINUTE_S else min(end_s, rolled_s), MINUTE_S)
            found += held
    return sorted(found)


@given(start=times, length=st.integers(min_value=1, max_value=3 * DAY_S), rolled=times, minutes=times, hours=times)
def test_the_pieces_hold_each_minute_of_the_span_once(
    start: int, length: int, rolled: int, minutes: int, hours: int
) -> None:
    rolled -= rolled % MINUTE_S
    ladder = Ladder(WIDTHS, rolled, (max(minutes, hours), min(minutes, hours)))
    span = ladder.fitted(Span(start, start + length))
    assert span.start_s <= start < start + length <= span.end_s
    assert covered(ladder.pieces(span), rolled) == list(range(span.start_s, span.end_s, MINUTE_S))


@given(start=times, length=st.integers(min_value=1, max_value=3 * DAY_S), rolled=times, width=st.sampled_from(WIDTHS))
def test_so_do_the_rows_of_one_width(start: int, length: int, rolled: int, width: int) -> None:
    rolled -= rolled % MINUTE_S
    ladder = Ladder(WIDTHS, rolled, (0, 0))
    span = ladder.fitted(Span(start, start + length), width)
    assert covered(ladder.pieces_of(span, width), rolled) == list(range(span.start_s, span.end_s, MINUTE_S))


def test_whole_days_take_days_and_the_edges_what_is_narrower() -> None:
    ladder = Ladder(WIDTHS, 10 * DAY_S, (0, 0))
    span = Span(DAY_S - HOUR_S - 2 * MINUTE_S, 3 * DAY_S + 3 * HOUR_S + MINUTE_S)
    assert ladder.pieces(span) == [
        Piece(MINUTE_S, DAY_S - HOUR_S - 2 * MINUTE_S, DAY_S - HOUR_S),
        Piece(HOUR_S, DAY_S - HOUR_S, DAY_S),
        Piece(DAY_S, DAY_S, 3 * DAY_S),
        Piece(HOUR_S, 3 * DAY_S, 3 * DAY_S + 3 * HOUR_S),
        Piece(MINUTE_S, 3 * DAY_S + 3 * HOUR_S, 3 * DAY_S + 3 * HOUR_S + MINUTE_S),
    ]


def test_today_is_one_row_and_the_minutes_since_the_last_rolling_up() -> None:
    rolled, now = 2 * DAY_S + 5 * HOUR_S, 2 * DAY_S + 5 * HOUR_S + 2 * MINUTE_S
    pieces = Ladder(WIDTHS, rolled, (0, 0)).pieces(Span(2 * DAY_S, now))
    assert pieces == [Piece(DAY_S, 2 * DAY_S, 3 * DAY_S), Piece(MINUTE_S, rolled, now)]
