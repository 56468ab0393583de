from pathlib import Path

import pytest

from trunkline.errors import ConfigError
from trunkline.storage.url import PostgresStore, SqliteStore, shown, sqlite_path, store_of


def test_three_slashes_are_relative_to_the_working_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sqlite_path("sqlite:///data/trunkline.db") == tmp_path / "data" / "trunkline.db"


def test_four_slashes_are_absolute():
    assert sqlite_path("sqlite:////var/lib/trunkline.db") == Path("/var/lib/trunkline.db")


@pytest.mark.parametrize("url", ["", "trunkline.db", "mysql://u:hunter2@db/x", "sqlite://x", "sqlite:///x?mode=ro"])
def test_other_urls_are_refused_with_the_right_form(url):
    with pytest.raises(ConfigError, match="must look like sqlite:///trunkline") as caught:
        sqlite_path(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite:///", "sqlite:///:memory:"])
def test_a_store_in_memory_is_refused(url):
    with pytest.raises(ConfigError, match="must name a file"):
        sqlite_path(url)


def test_a_database_is_named_by_server_user_and_name():
    store = store_of(
        "postgresql://ann:p%40ss%2F%3A@db.example.com:6543/gateway?sslmode=verify-full&sslrootcert=/ca.pem"
    )
    assert store == PostgresStore(
        "db.example.com", 6543, "ann", "p@ss/:", "gateway", tls="verify-full", ca_file="/ca.pem"
    )


def test_what_is_not_said_of_a_database_is_as_usual():
    store = store_of("postgres://ann@db/gateway")
    assert (store.port, store.password, store.tls) == (5432, "", "prefer")


def test_a_server_may_be_reached_through_the_folder_of_its_socket():
    assert store_of("postgresql://ann@/gateway?host=/var/run/postgresql").host == "/var/run/postgresql"


def test_a_file_is_a_store_of_sqlite():
    assert store_of("sqlite:////a.db") == SqliteStore(Path("/a.db"))


def test_no_password_is_shown():
    url = "postgresql://ann:hunter2@[::1]:6543/gateway"
    assert shown(url) == "postgresql://[::1]:6543/gateway"
    assert "hunter2" not in repr(store_of(url))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://:hunter2@db/x", "without user"),
        ("postgresql://u:hunter2@db", "without database"),
        ("postgresql://u:hunter2@/x", "without host"),
        ("postgresql://u:hunter2@db:port/x", "%40"),
        ("postgresql://u:hunter2/@db/x", "must look like"),
        ("postgresql://u:hunter2#@db/x", "must look like"),
        ("postgresql+asyncpg://u:hunter2@db/x", "no driver"),
        ("postgresql://u:hunter2@db/x?sslmode=on", "verify-full"),
        ("postgresql://u:hunter2@db/x?poolsize=3", "no option 'poolsize'"),
        ("postgresql://u:hunter2@db/x?sslmode", "%40"),
    ],
)
def test_a_database_named_wrongly_is_told_with_the_mend_and_without_its_password(url, words):
    with pytest.raises(ConfigError, match=words) as caught:
        store_of(url)
    assert "hunter2" not in f"{caught.value!r} {caught.value}"


def test_what_only_sqlite_can_says_so():
    with pytest.raises(ConfigError, match="SQLite only"):
        sqlite_path("postgresql://u@db/x")
