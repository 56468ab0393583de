from pathlib import Path

import pytest

from trunkline.errors import ConfigError
from trunkline.storage.url import sqlite_path


def test_three_slashes_are_relative_to_the_working_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sqlite_path("sqlite:///data/trunkline.db") == tmp_path / "data" / "trunkline.db"


def test_four_slashes_are_absolute():
    assert sqlite_path("sqlite:////var/lib/trunkline.db") == Path("/var/lib/trunkline.db")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_postgresql_is_refused_as_not_in_this_version_and_its_password_is_not_shown(scheme):
    with pytest.raises(ConfigError, match="not in this version") as caught:
        sqlite_path(f"{scheme}://user:hunter2@db/trunkline")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "trunkline.db", "mysql://u:hunter2@db/x", "sqlite://x", "sqlite:///x?mode=ro"])
def test_other_urls_are_refused_with_the_right_form(url):
    with pytest.raises(ConfigError, match="must look like sqlite:///trunkline") as caught:
        sqlite_path(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite:///", "sqlite:///:memory:"])
def test_a_store_in_memory_is_refused(url):
    with pytest.raises(ConfigError, match="must name a file"):
        sqlite_path(url)
