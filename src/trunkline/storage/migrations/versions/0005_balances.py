"""What the entries of the ledger add up to by account, kept by a trigger; which alerts were sent."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_ADD = (
    "INSERT INTO balances (account, amount_pico_usd) VALUES (NEW.account, NEW.amount_pico_usd) "
    "ON CONFLICT (account) DO UPDATE SET amount_pico_usd = balances.amount_pico_usd + EXCLUDED.amount_pico_usd;"
)


def upgrade() -> None:
    op.create_index("ledger_entries_transaction_id", "ledger_entries", ["transaction_id"])
    is_act = sa.text("kind != 'spend'")
    op.create_index("ledger_acts", "ledger", ["org_id", "at_ms", "id"], sqlite_where=is_act, postgresql_where=is_act)
    op.create_table(
        "balances",
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("amount_pico_usd", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "alerts_told",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("told_ms", sa.BigInteger, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"CREATE TRIGGER ledger_entries_add AFTER INSERT ON ledger_entries BEGIN {_ADD} END")
        return
    op.execute(
        f"CREATE FUNCTION ledger_entries_add() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_ADD} RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_entries_add AFTER INSERT ON ledger_entries "
        "FOR EACH ROW EXECUTE FUNCTION ledger_entries_add()"
    )
