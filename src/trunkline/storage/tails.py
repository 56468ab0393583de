"""Which records the rollups do not have yet, as a condition on `records`. In: the store's kind. Out: SQL."""

from trunkline.storage.columns import FOLDED

SQLITE_TAIL = f"rowid > (SELECT CAST(value AS BIGINT) FROM meta WHERE key = '{FOLDED}')"  # noqa: S608 - a name of ours
POSTGRES_TAIL = "id IN (SELECT json_array_elements_text(record_ids::json) FROM unfolded)"


def tail_of(dialect: str) -> str:
    """`dialect` is SQLAlchemy's name of it."""
    return {"sqlite": SQLITE_TAIL, "postgresql": POSTGRES_TAIL}[dialect]
