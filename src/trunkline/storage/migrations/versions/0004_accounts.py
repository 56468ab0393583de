"""Organisations, members, projects, budgets, wallets and their ledger, the audit log, stored credentials of providers; what keys may do."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_APPEND_ONLY = ("ledger", "ledger_entries", "audit")


def upgrade() -> None:
    _widen_keys()
    _make_people()
    _make_money()
    _make_audit()
    for table in _APPEND_ONLY:
        _refuse_changes(table)
    organisations = sa.table(
        "organisations", sa.column("id", sa.Text), sa.column("name", sa.Text), sa.column("created_ms", sa.BigInteger)
    )
    op.bulk_insert(organisations, [{"id": "org_default", "name": "Default", "created_ms": time.time_ns() // 1_000_000}])


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def _ms(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _id(name: str = "id") -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=True)


def _widen_keys() -> None:
    with op.batch_alter_table("api_keys") as keys:
        keys.add_column(_text("org_id", "org_default"))
        keys.add_column(_text("project_id", ""))
        keys.add_column(_text("member_id", ""))
        keys.add_column(_text("kind", "inference"))
        keys.add_column(_text("rules", "{}"))
        keys.add_column(_text("rotated_from", ""))


def _make_people() -> None:
    op.create_table(
        "organisations",
        _id(),
        _text("name"),
        _ms("created_ms"),
        sa.Column("prepaid", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "members",
        _id(),
        _text("org_id"),
        sa.Column("email", sa.Text, nullable=False, unique=True),
        _text("name"),
        _text("role"),
        _ms("created_ms"),
        _ms("disabled_ms", nullable=True),
        _text("issuer", ""),
        _text("subject", ""),
        _text("password", ""),
    )
    op.create_table(
        "links",
        _id("hash"),
        _text("kind"),
        _text("member_id"),
        _ms("created_ms"),
        _ms("expires_ms"),
        _ms("used_ms", nullable=True),
    )
    op.create_table(
        "sessions",
        _id("hash"),
        _text("member_id"),
        _ms("created_ms"),
        _ms("expires_ms"),
        _ms("ended_ms", nullable=True),
    )
    op.create_index("sessions_member_id", "sessions", ["member_id"])
    op.create_table(
        "projects", _id(), _text("org_id"), _text("name"), _ms("created_ms"), _ms("archived_ms", nullable=True)
    )


def _make_money() -> None:
    op.create_table(
        "budgets",
        _id(),
        *(_text(name) for name in ("org_id", "scope", "scope_id", "period")),
        sa.Column("limit_pico_usd", sa.BigInteger, nullable=False),
        _ms("created_ms"),
        _ms("ended_ms", nullable=True),
        _text("alerts", "[80,100]"),
    )
    op.create_table(
        "wallets",
        _id(),
        *(_text(name) for name in ("org_id", "kind", "name")),
        _ms("created_ms"),
        _ms("expires_ms", nullable=True),
    )
    op.create_table(
        "ledger",
        _id(),
        _text("org_id"),
        _ms("at_ms"),
        _text("kind"),
        sa.Column("reference", sa.Text, nullable=False, unique=True),
        _text("note"),
        _text("actor"),
    )
    op.create_index("ledger_org_id_at_ms", "ledger", ["org_id", "at_ms"])
    op.create_table(
        "ledger_entries",
        _id("account"),
        _id("transaction_id"),
        sa.Column("amount_pico_usd", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "provider_credentials",
        _id(),
        _text("org_id"),
        _text("member_id", ""),
        *(_text(name) for name in ("provider", "name", "hint")),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        _ms("created_ms"),
        _text("created_by"),
        _ms("revoked_ms", nullable=True),
    )


def _make_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        _ms("at_ms"),
        *(_text(name) for name in ("org_id", "actor_kind", "actor_id", "address", "action", "target")),
        _text("detail"),
    )
    op.create_index("audit_actor_id", "audit", ["actor_id", "number"])
    op.create_index("audit_target", "audit", ["target", "number"])


def _refuse_changes(table: str) -> None:
    """What is written there stays as it is, whoever asks."""
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
    )
