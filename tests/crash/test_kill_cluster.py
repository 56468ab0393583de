"""Two rounds of `make crash-cluster`: a data plane and a gateway are killed under load, over PostgreSQL and Redis behind nginx."""

import tempfile
from pathlib import Path

from bench.crash_cluster import run


async def test_what_was_answered_is_in_the_books_after_a_kill() -> None:
    # Not pytest's folder, which only its owner enters: PostgreSQL runs as somebody else.
    with tempfile.TemporaryDirectory(prefix="tl-crash-") as folder:
        done = await run(2, 1, Path(folder))
    assert [(one.victim, one.faults) for one in done] == [("data plane", []), ("gateway", [])]
