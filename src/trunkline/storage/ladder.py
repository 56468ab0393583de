"""Which rows of which widths cover a span of time. In: the span, until when narrow rows are part of wider ones. Out: pieces that cover it once.

Rows that start before `rolled_s` are in all widths, later ones in the narrowest alone. Narrow rows expire: a span that begins before the
oldest of them begins at the start of a wider one.
"""

import msgspec


class Span(msgspec.Struct, frozen=True):
    """Unix seconds, the end not included."""

    start_s: int
    end_s: int


class Piece(msgspec.Struct, frozen=True):
    """Rows of one width whose start is within, the end not included."""

    width_s: int
    start_s: int
    end_s: int


class Ladder(msgspec.Struct, frozen=True):
    """`widths` from narrow to wide, each a multiple of the one before; `oldest_s` is since when the rows of each but the last are kept."""

    widths: tuple[int, ...]
    rolled_s: int
    oldest_s: tuple[int, ...]

    def fitted(self, span: Span, width_s: int | None = None) -> Span:
        """The span widened to whole rows: of the narrowest width that reaches back so far, or of the width asked for."""
        return Span(
            _floor(span.start_s, self._width_at(span.start_s, width_s)),
            _ceil(span.end_s, self._width_at(span.end_s, width_s)),
        )

    def pieces(self, span: Span) -> list[Piece]:
        """The fewest rows that cover a fitted span."""
        narrow = self.widths[0]
        rolled, tail = self._split(span)
        found = [] if rolled is None else self._cover(rolled, len(self.widths) - 1)
        found += [Piece(narrow, tail.start_s, tail.end_s)] if tail else []
        return [piece for piece in found if piece.start_s < piece.end_s]

    def pieces_of(self, span: Span, width_s: int) -> list[Piece]:
        """The rows of one width that cover a span fitted to it, and narrow ones where no others are yet."""
        rolled, tail = self._split(span)
        found = [] if rolled is None else [Piece(width_s, rolled.start_s, _ceil(rolled.end_s, width_s))]
        return [*found, *([Piece(self.widths[0], tail.start_s, tail.end_s)] if tail else [])]

    def _split(self, span: Span) -> tuple[Span | None, Span | None]:
        """What is rolled up of a span, and what is not yet."""
        middle = min(max(self.rolled_s, span.start_s), span.end_s)
        rolled = Span(span.start_s, middle) if middle > span.start_s else None
        return rolled, Span(middle, span.end_s) if middle < span.end_s else None

    def _cover(self, span: Span, at: int) -> list[Piece]:
        """With rows of width `at` in the middle and narrower ones at the edges. A row that holds the end of what is rolled up holds no more than that."""
        if span.start_s >= span.end_s:
            return []
        width_s = self.widths[at]
        open_end = span.end_s >= self.rolled_s
        start_s = _ceil(span.start_s, width_s)
        end_s = _ceil(span.end_s, width_s) if open_end else _floor(span.end_s, width_s)
        if at == 0:
            return [Piece(width_s, start_s, end_s)]
        if start_s >= end_s:
            return self._cover(span, at - 1)
        after = [] if open_end else self._cover(Span(end_s, span.end_s), at - 1)
        return [*self._cover_before(Span(span.start_s, start_s), at - 1), Piece(width_s, start_s, end_s), *after]

    def _cover_before(self, span: Span, at: int) -> list[Piece]:
        """As `_cover`, of a span that ends where a wider row begins: that end is not open."""
        if span.start_s >= span.end_s:
            return []
        width_s = self.widths[at]
        start_s = _ceil(span.start_s, width_s)
        before = self._cover_before(Span(span.start_s, start_s), at - 1) if at else []
        return [*before, Piece(width_s, start_s, span.end_s)]

    def _width_at(self, time_s: int, width_s: int | None) -> int:
        if width_s is not None:
            return width_s
        kept = zip(self.widths, self.oldest_s, strict=False)
        return next((width for width, oldest_s in kept if time_s >= oldest_s), self.widths[-1])


def _floor(time_s: int, width_s: int) -> int:
    return time_s - time_s % width_s


def _ceil(time_s: int, width_s: int) -> int:
    return -(-time_s // width_s) * width_s
