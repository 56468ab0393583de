"""The pieces of a streamed text, and where a script breaks them off."""

from collections.abc import Iterator

from tests.clients.scripted.plan import Plan, pieces


class Cut(Exception):
    """The connection breaks off here, as the script says."""


def interruptions(plan: Plan) -> Iterator[str | None]:
    """The text in pieces; None where an error event belongs, after which nothing comes; `Cut` where the stream breaks off."""
    for number, piece in enumerate(pieces(plan.text)):
        if plan.cut is not None and number >= plan.cut:
            raise Cut
        if plan.error_after is not None and number >= plan.error_after:
            yield None
            return
        yield piece
