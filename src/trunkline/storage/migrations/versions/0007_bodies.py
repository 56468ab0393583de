"""On PostgreSQL: captured bodies by day (on SQLite they are files), which transaction stored a record, and what its caller said of itself."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    # `day` counts from 1970, UTC. Partitions of a day come and go with the days.
    op.execute(
        "CREATE TABLE bodies (day INTEGER NOT NULL, id TEXT NOT NULL, key_id TEXT NOT NULL, data BYTEA NOT NULL, PRIMARY KEY (day, id)) "
        "PARTITION BY RANGE (day)"
    )
    op.execute("ALTER TABLE bodies ALTER COLUMN data SET STORAGE EXTERNAL")
    # The order in which records came to the store, of several gateways: what is below the oldest transaction under way is complete
    # (https://www.postgresql.org/docs/14/functions-info.html#FUNCTIONS-PG-SNAPSHOT). A BRIN index costs next to nothing a row.
    op.execute("ALTER TABLE records ADD COLUMN stored_by BIGINT NOT NULL DEFAULT pg_current_xact_id()::text::bigint")
    op.execute("CREATE INDEX records_stored_by ON records USING brin (stored_by) WITH (pages_per_range = 16)")
    # The app's address and title; what cannot be read as text has neither.
    op.execute(
        "CREATE FUNCTION record_app(detail BYTEA) RETURNS TEXT LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ "
        "DECLARE read JSON := convert_from(detail, 'UTF8')::json; "
        "BEGIN RETURN (read ->> 1) || ' ' || (read ->> 2); "
        "EXCEPTION WHEN others THEN RETURN ''; END $$"
    )
