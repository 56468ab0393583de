"""Parameters that routes of the management API have in common. In: nothing. Out: their types, with what the reference says of them."""

from typing import Annotated

from fastapi import Header, Query

MOST = 500
"""Of a list, at once."""
Repeated = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        max_length=255,
        description="The same call with the same one, within a day, is done once and answered again.",
    ),
]
Wanted = Annotated[str, Query(max_length=100)]
