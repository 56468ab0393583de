"""Brings a store to the current schema. In: its URL. Out: tables as `schema` has them, or StoreError.

`is_current` needs neither SQLAlchemy nor alembic: a start with a current store loads neither.
"""

import sqlite3
import time
from pathlib import Path

from trunkline.errors import StoreError
from trunkline.storage import sqlite_file
from trunkline.storage.url import sqlite_path

HEAD = "0003"
"""The newest file of `migrations/versions`; a test compares them."""
_WAL_TRIES = 50
_WAL_PAUSE_S = 0.1


def is_current(url: str) -> bool:
    """Whether the store exists and has the schema of this version. StoreError when the file is there and cannot be read."""
    path = sqlite_path(url)
    if not path.exists():
        return False
    return _revision(path) == HEAD


def upgrade(url: str) -> None:
    """Make the file if need be, and run the migrations that are missing, in one transaction. Safe to run twice, also at once."""
    path = sqlite_path(url)
    sqlite_file.create(path)
    _use_wal(path)
    revision = _revision(path)
    if revision is not None and revision > HEAD:
        raise StoreError(
            f"{path}: was made by a newer version of Trunkline (schema {revision}, this one knows {HEAD}); install that version again"
        )
    _run_migrations(path)


def _revision(path: Path) -> str | None:
    connection = sqlite_file.connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise StoreError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path}: is not a store of Trunkline: {error}") from error
    finally:
        connection.close()
    return row[0] if row else None


def _use_wal(path: Path) -> None:
    connection = sqlite_file.connect(path)
    try:
        sqlite_file.set_page_size(connection)
        _use_wal_patiently(connection)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    finally:
        connection.close()


def _use_wal_patiently(connection: sqlite3.Connection) -> None:
    # The switch takes an exclusive lock that SQLite does not always wait for (https://www.sqlite.org/wal.html, "Sometimes Queries
    # Return SQLITE_BUSY In WAL Mode"); another process that starts at the same time holds it for a moment.
    for _ in range(_WAL_TRIES - 1):
        try:
            return sqlite_file.use_wal(connection)
        except sqlite3.OperationalError:
            time.sleep(_WAL_PAUSE_S)
    return sqlite_file.use_wal(connection)


def _run_migrations(path: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    from trunkline.storage.engine import migration_engine

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    engine = migration_engine(path)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except (SQLAlchemyError, CommandError) as error:
        raise StoreError(f"{path}: the schema could not be brought up to date: {error}") from error
    finally:
        engine.dispose()
