"""Reads the store's URL. In: `sqlite:///trunkline.db` (relative) or `sqlite:////absolute/path`. Out: the path of the file."""

from pathlib import Path

from trunkline.errors import ConfigError

_WHERE = "[store] url"
_SQLITE = "sqlite:///"


def sqlite_path(url: str) -> Path:
    """The absolute path of the database file. ConfigError for every other kind of URL."""
    if url.startswith(("postgresql:", "postgresql+", "postgres:")):
        raise ConfigError("PostgreSQL is not in this version; use sqlite:///trunkline.db", where=_WHERE)
    name = url.removeprefix(_SQLITE)
    if not url.startswith(_SQLITE) or "?" in name or "#" in name:
        # Not quoted whole: a URL may hold a password.
        scheme = url.partition(":")[0][:20]
        raise ConfigError(
            f"must look like sqlite:///trunkline.db or sqlite:////absolute/path.db, got {scheme}:...", where=_WHERE
        )
    if name in ("", ":memory:"):
        raise ConfigError(
            "must name a file: several processes read the store; use sqlite:///trunkline.db", where=_WHERE
        )
    return Path(name).expanduser().absolute()
