"""Reads the store's URL. In: `sqlite:///trunkline.db` (relative), `sqlite:////absolute/path`, or `postgresql://user:password@host:port/database`.

Out: which store it is, and what is needed to open it. A URL may hold a password: no error shows it, and `shown` tells the rest.
"""

from pathlib import Path
from typing import Literal, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from trunkline.errors import ConfigError

_WHERE = "[store] url"
_SQLITE = "sqlite:///"
_SCHEMES = ("postgresql", "postgres")
_DEFAULT_PORT = 5432
_FORM = "postgresql://user:password@host:5432/database"
TlsMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
"""As https://www.postgresql.org/docs/current/libpq-ssl.html has them."""


class SqliteStore(msgspec.Struct, frozen=True):
    """A file."""

    path: Path

    @property
    def shown(self) -> str:
        return str(self.path)


class PostgresStore(msgspec.Struct, frozen=True):
    """A database of a PostgreSQL server. Its repr has no password."""

    host: str
    """A name, an address, or the folder of a unix socket."""
    port: int
    user: str
    password: str
    database: str
    tls: TlsMode = "prefer"
    ca_file: str = ""
    """Certificates of the authorities that are trusted; empty: the system's."""
    cert_file: str = ""
    key_file: str = ""

    @property
    def shown(self) -> str:
        """For errors, logs and pages."""
        place = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{place}:{self.port}/{self.database}"

    def __repr__(self) -> str:
        return f"PostgresStore({self.shown})"


def store_of(url: str) -> SqliteStore | PostgresStore:
    """What a URL names. ConfigError where it is no URL of a store."""
    if is_postgres(url):
        return _postgres(url)
    return SqliteStore(sqlite_path(url))


def is_postgres(url: str) -> bool:
    """Whether it means PostgreSQL, well written or not."""
    return url.partition(":")[0].partition("+")[0] in _SCHEMES


def sqlite_path(url: str) -> Path:
    """The absolute path of the database file. ConfigError for every other kind of URL."""
    if is_postgres(url):
        raise ConfigError("this works on SQLite only, and the store is in PostgreSQL", where=_WHERE)
    name = url.removeprefix(_SQLITE)
    if not url.startswith(_SQLITE) or "?" in name or "#" in name:
        # Not quoted whole: a URL may hold a password.
        scheme = url.partition(":")[0][:20]
        raise ConfigError(
            f"must look like sqlite:///trunkline.db, sqlite:////absolute/path.db or {_FORM}, got {scheme}:...",
            where=_WHERE,
        )
    if name in ("", ":memory:"):
        raise ConfigError(
            "must name a file: several processes read the store; use sqlite:///trunkline.db", where=_WHERE
        )
    return Path(name).expanduser().absolute()


def shown(url: str) -> str:
    """The URL without its password, for people."""
    return store_of(url).shown


def _postgres(url: str) -> PostgresStore:
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORT
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        # The reason may quote what is wrong, which may be part of a password.
        raise ConfigError(
            f"must look like {_FORM}; characters such as @ : / # in a password are written as %40 %3A %2F %23",
            where=_WHERE,
        ) from None
    if parts.scheme not in _SCHEMES:
        raise ConfigError(f"must look like {_FORM}, with no driver in its scheme", where=_WHERE)
    host = options.pop("host", "") or unquote(parts.hostname or "")
    database = unquote(parts.path.removeprefix("/"))
    user = unquote(parts.username or "")
    missing = [name for name, value in (("host", host), ("database", database), ("user", user)) if not value]
    if missing or "/" in database or parts.fragment:
        raise ConfigError(f"must look like {_FORM}; without {' and '.join(missing) or '/ and #'}", where=_WHERE)
    tls = options.pop("sslmode", "prefer")
    if tls not in get_args(TlsMode):
        raise ConfigError(f"sslmode must be one of {', '.join(get_args(TlsMode))}", where=_WHERE)
    files = {
        field: options.pop(name, "")
        for name, field in (("sslrootcert", "ca_file"), ("sslcert", "cert_file"), ("sslkey", "key_file"))
    }
    if options:
        raise ConfigError(
            f"there is no option {sorted(options)[0]!r}; known are host, sslmode, sslrootcert, sslcert and sslkey",
            where=_WHERE,
        )
    return PostgresStore(host, port, user, unquote(parts.password or ""), database, tls, **files)  # type: ignore[arg-type]
