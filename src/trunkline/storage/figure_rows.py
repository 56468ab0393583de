"""Rows of the rollups and back. In: figures of `records.figures`. Out: tuples in the order of `columns`. No SQL here."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import astuple

from trunkline.records.figures import COUNTS, OfferFigures, Use

_encoder = msgspec.msgpack.Encoder()
_causes = msgspec.msgpack.Decoder(dict[str, int])
_COUNTS_END = len(COUNTS)


def offer_row(width_s: int, start_s: int, offer: str, figures: OfferFigures) -> tuple[Any, ...]:
    """The row of `offer_rollups`."""
    return (
        width_s,
        start_s,
        offer,
        figures.attempts,
        figures.ok,
        figures.failed,
        figures.limited,
        figures.apart,
        figures.input_tokens,
        figures.cached_tokens,
        figures.output_tokens,
        figures.tool_calls,
        figures.tool_errors,
        figures.latency.packed(),
        figures.speed.packed(),
        _encoder.encode(figures.causes) if figures.causes else b"",
    )


def use_row(width_s: int, start_s: int, offer: str, protocol: str, key_id: str, use: Use) -> tuple[Any, ...]:
    """The row of `use_rollups`. `offer` is `model:provider`."""
    model, _, provider = offer.rpartition(":")
    return (width_s, start_s, model, provider, protocol, key_id, *astuple(use))


def merge_row(figures: OfferFigures, values: Sequence[Any]) -> None:
    """Add a row to figures. `values` are its columns after the key."""
    for name, value in zip(COUNTS, values[:_COUNTS_END], strict=True):
        if value:
            setattr(figures, name, getattr(figures, name) + value)
    latency, speed, causes = values[_COUNTS_END:]
    figures.latency.merge_packed(latency)
    figures.speed.merge_packed(speed)
    if causes:
        for cause, count in _causes.decode(causes).items():
            figures.causes[cause] = figures.causes.get(cause, 0) + count


def read_causes(packed: bytes) -> dict[str, int]:
    """Why attempts did not go well -> how many."""
    return _causes.decode(packed) if packed else {}


def merged(rows: Iterable[Sequence[Any]]) -> OfferFigures:
    """All rows together, each without its key."""
    figures = OfferFigures()
    for values in rows:
        merge_row(figures, values)
    return figures
