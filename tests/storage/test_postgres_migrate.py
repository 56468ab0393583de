"""The schema on PostgreSQL, and what a store there says of itself when it cannot be used."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
import trustme
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from tests.fakes.postgres_server import PostgresServer
from tests.fakes.stores import AnyStore
from trunkline.errors import StoreError
from trunkline.storage import migrate, schema
from trunkline.storage.engine import postgres_engine
from trunkline.storage.postgres import Blocking
from trunkline.storage.url import store_of


async def ask(url: str, question: Any) -> Any:
    engine = postgres_engine(store_of(url))
    async with engine.connect() as connection:
        found = await connection.run_sync(question)
    await engine.dispose()
    return found


def test_a_database_without_tables_is_brought_to_the_current_schema(blank_postgres_url):
    assert not migrate.is_current(blank_postgres_url)
    migrate.upgrade(blank_postgres_url)
    assert migrate.is_current(blank_postgres_url)


def test_upgrading_twice_changes_nothing(postgres_store):
    postgres_store.execute("INSERT INTO meta VALUES ('mark', '1')")
    migrate.upgrade(postgres_store.url)
    assert postgres_store.rows("SELECT value FROM meta WHERE key = 'mark'") == [("1",)]


def test_processes_that_upgrade_at_once_all_succeed(blank_postgres_url):
    program = "import sys; from trunkline.storage.migrate import upgrade; sys.stdin.read(); upgrade(sys.argv[1])"
    argv = [sys.executable, "-c", program, blank_postgres_url]
    processes = [subprocess.Popen(argv, stdin=subprocess.PIPE) for _ in range(3)]
    for process in processes:
        process.stdin.close()
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert migrate.is_current(blank_postgres_url)


def not_of_postgresql_alone(_item: object, name: str, _type: str, *_: object) -> bool:
    """The schema is that of both kinds of stores."""
    return name not in ("bodies", "stored_by", "records_stored_by", "records_answer_id", "intents_gateway")


async def test_the_migrations_make_what_the_schema_says(postgres_url):
    def compare(connection: Any) -> tuple[list, set[str]]:
        context = MigrationContext.configure(connection, opts={"include_object": not_of_postgresql_alone})
        return compare_metadata(context, schema.metadata), {
            index["name"] for index in inspect(connection).get_indexes("records")
        }

    found, indexes = await ask(postgres_url, compare)
    assert found == []
    assert indexes >= {index.name for index in schema.records.indexes}


def test_what_is_written_for_good_cannot_be_changed(postgres_store):
    postgres_store.execute(
        "INSERT INTO audit (at_ms, org_id, actor_kind, actor_id, address, action, target, detail) "
        "VALUES (1, 'o', 'a', 'b', '', 'c', 'd', '{}')"
    )
    connection = Blocking(postgres_store.store)
    for change in ("UPDATE audit SET at_ms = 2", "DELETE FROM audit", "TRUNCATE audit", "DELETE FROM ledger"):
        with pytest.raises(StoreError, match="append-only"):
            connection.fetch(change)
    connection.close()


def test_a_store_of_a_newer_version_is_left_alone(postgres_store):
    postgres_store.execute("UPDATE alembic_version SET version_num = '9999'")
    assert not migrate.is_current(postgres_store.url)
    with pytest.raises(StoreError, match="newer version"):
        migrate.upgrade(postgres_store.url)


def test_a_migration_that_fails_leaves_the_database_as_it_was(blank_postgres_url, tmp_path):
    store = AnyStore(blank_postgres_url, tmp_path)
    store.execute("CREATE TABLE intents (mine text)")
    with pytest.raises(StoreError, match="intents"):
        migrate.upgrade(blank_postgres_url)
    assert store.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("intents",)]


def test_a_database_in_another_encoding_is_refused_with_the_mend(postgres):
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(StoreError, match="encoding UTF8"):
        migrate.upgrade(postgres.url("latin"))
    postgres.execute("DROP DATABASE latin")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://nobody:hunter2@127.0.0.1:{port}/postgres", "user was refused"),
        ("postgresql://postgres:hunter2@127.0.0.1:{port}/nowhere", "no such database"),
        ("postgresql://postgres:hunter2@127.0.0.1:1/postgres", "cannot be reached.*is the server running"),
        ("postgresql://postgres:hunter2@127.0.0.1:{port}/postgres?sslmode=require", "cannot be reached"),
        ("postgresql://postgres:hunter2@127.0.0.1:{port}/postgres?sslmode=require&sslrootcert=/none", "sslrootcert"),
    ],
)
def test_what_is_wrong_with_a_server_is_told_with_the_mend_and_without_the_password(postgres, url, words):
    with pytest.raises(StoreError, match=words) as caught:
        migrate.is_current(url.format(port=postgres.port))
    assert "hunter2" not in str(caught.value)


def test_a_server_that_does_not_answer_is_away(postgres, postgres_url):
    connection = Blocking(store_of(postgres_url), statement_timeout_s=0.2)
    with pytest.raises(StoreError, match="does not answer"):
        connection.fetch("SELECT pg_sleep(20)")
    connection.close()


async def test_a_thread_whose_loop_is_running_may_ask_as_well(postgres_url):
    connection = Blocking(store_of(postgres_url))
    assert connection.fetch("SELECT 1 AS one")[0]["one"] == 1
    assert await asyncio.to_thread(connection.fetch, "SELECT 2") == [(2,)]
    connection.close()


@pytest.fixture(scope="module")
def with_tls(tmp_path_factory: pytest.TempPathFactory):
    """A server with a certificate for 127.0.0.1, passwords, and the file of the authority that it is from."""
    authority, folder = trustme.CA(), tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server = PostgresServer()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_pem.write_to_path(server.folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(server.folder / "cert.pem")
    server.own(server.folder / "key.pem", server.folder / "cert.pem")
    server.set("ssl", "on")
    server.set("ssl_key_file", str(server.folder / "key.pem"))
    server.set("ssl_cert_file", str(server.folder / "cert.pem"))
    (server.data / "pg_hba.conf").write_text("local all all trust\nhostssl all all all scram-sha-256\n")
    try:
        server.start()
        server.execute("CREATE ROLE ann LOGIN PASSWORD 'p@ss'")
        yield server, folder / "ca.pem"
    finally:
        server.remove()


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
def test_tls_is_spoken_in_each_mode(with_tls, mode):
    server, ca_file = with_tls
    url = server.url(user="ann", password="p%40ss", options=f"?sslmode={mode}&sslrootcert={ca_file}")
    connection = Blocking(store_of(url))
    assert connection.fetch("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)]
    connection.close()


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_certificate_of_nobody_that_is_trusted_is_refused(with_tls, mode):
    server, _ = with_tls
    with pytest.raises(StoreError, match=r"certificate is not trusted.*sslrootcert"):
        migrate.is_current(server.url(user="ann", password="p%40ss", options=f"?sslmode={mode}"))


def test_a_certificate_for_another_name_is_refused_where_the_name_counts(with_tls):
    server, ca_file = with_tls
    url = server.url(user="ann", password="p%40ss", options=f"?sslrootcert={ca_file}&sslmode=").replace(
        "127.0.0.1", "127.0.0.2"
    )
    assert not migrate.is_current(url + "verify-ca")
    with pytest.raises(StoreError, match="certificate is not trusted"):
        migrate.is_current(url + "verify-full")


def test_a_wrong_password_is_told_and_not_shown(with_tls):
    server, _ = with_tls
    with pytest.raises(StoreError, match="password was refused") as caught:
        migrate.is_current(server.url(user="ann", password="hunter2"))
    assert "hunter2" not in str(caught.value)
