"""`trunkline credits` and `trunkline ledger`."""

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.fakes.records import a_record
from trunkline.cli.main import cli
from trunkline.errors import InvalidParams, NotFound
from trunkline.pricing.money import pico_usd, usd
from trunkline.storage.sqlite_batch import SqliteBatch


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "trunkline.toml"
    path.write_text(f'[store]\nurl = "sqlite:///{tmp_path}/trunkline.db"\n')
    return path


@pytest.fixture
def call(config: Path):
    def call(*arguments: str) -> Result:
        return CliRunner().invoke(
            cli, [*arguments[:2], "--config", str(config), *arguments[2:]], catch_exceptions=False
        )

    return call


def left(call) -> str:
    return json.loads(call("credits", "show", "--json").stdout)["left_usd"]


def test_credit_that_is_put_in_is_left_until_it_is_spent(call, tmp_path):
    shown = call("credits", "add", "12.50", "--kind", "bonus", "--name", "Welcome").stdout
    assert "Welcome" in shown
    assert "12.5 USD left" in shown
    batch = SqliteBatch(tmp_path / "trunkline.db")
    batch.write([a_record(1, prepaid_by="org_default")], [], [])
    batch.close()
    assert left(call) == usd(pico_usd("12.5") - a_record(1).cost_pico_usd)
    assert "everything adds up" in call("ledger", "check").stdout


def test_the_same_invoice_twice_counts_once(call):
    for _ in range(2):
        call("credits", "add", "5", "--reference", "invoice 7")
    assert left(call) == "5"


def test_a_mistake_is_put_right_with_a_reason(call):
    wallet = json.loads(call("credits", "add", "5", "--json").stdout)["wallets"][0]["id"]
    assert call("credits", "adjust", wallet, "1.50", "--take-out", "--note", "typed wrong", "--json").exit_code == 0
    assert left(call) == "3.5"
    statement = call("ledger", "show").stdout
    assert "adjustment  master  typed wrong" in statement
    assert f"wallet:{wallet}" in statement
    with pytest.raises(NotFound, match="no wallet wal_none"):
        call("credits", "adjust", "wal_none", "1", "--note", "x")


def test_what_is_no_amount_is_refused(call):
    assert "is no amount" in call("credits", "add", "1e3").stderr
    with pytest.raises(InvalidParams, match="more than nothing"):
        call("credits", "add", "0")
    with pytest.raises(NotFound, match="no organisation org_none"):
        call("credits", "add", "1", "--org", "org_none")


def test_an_organisation_is_made_prepaid(call, tmp_path):
    call("credits", "prepaid", "on")
    connection = sqlite3.connect(tmp_path / "trunkline.db")
    assert connection.execute("SELECT prepaid FROM organisations").fetchall() == [(1,)]
    connection.close()


def test_a_ledger_that_does_not_add_up_fails_the_check(call, tmp_path):
    call("credits", "add", "5")
    connection = sqlite3.connect(tmp_path / "trunkline.db")
    connection.execute("UPDATE balances SET amount_pico_usd = amount_pico_usd + 1 WHERE account LIKE 'wallet:%'")
    connection.commit()
    connection.close()
    result = call("ledger", "check")
    assert result.exit_code == 1
    assert "1 faults" in result.stdout
    assert "the balance kept for wallet:" in result.stderr


@pytest.mark.parametrize(("text", "pico"), [("0.000000000001", 1), ("-2", -2 * 10**12), ("$1.5", 15 * 10**11)])
def test_amounts_are_exact(text, pico):
    assert pico_usd(text) == pico


@pytest.mark.parametrize("text", ["", "1e3", "1_0", "NaN", "1.0000000000001", "1,5", "1000000", "٣"])
def test_what_is_not_exact_is_no_amount(text):
    with pytest.raises(ValueError, match="is no amount"):
        pico_usd(text)
