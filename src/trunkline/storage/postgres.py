"""Connections to PostgreSQL on the driver. In: a `PostgresStore`. Out: connections of asyncpg, and `Blocking` ones for threads that wait.

What goes wrong is a StoreError that names server and database, what is wrong and what mends it, and no password.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from trunkline.errors import StoreAway, StoreError

try:
    import asyncpg
except ImportError as error:
    raise StoreError(
        "a store in PostgreSQL needs its driver; install it with `pip install 'trunkline[cluster]'`"
    ) from error
from trunkline.storage.url import PostgresStore

CONNECT_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 15.0
"""A server that does not answer is one that is away."""
LEAST_VERSION = 14
_SESSION = {
    # A gateway whose machine vanished must not hold rows for long: https://www.postgresql.org/docs/14/runtime-config-client.html
    "idle_in_transaction_session_timeout": "30s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "timezone": "UTC",
}
Answer = TypeVar("Answer")
FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What the driver raises, for whatever reason."""


async def connect(
    store: PostgresStore, *, statement_timeout_s: float | None = STATEMENT_TIMEOUT_S
) -> asyncpg.Connection:
    """A connection whose commits are durable. StoreError where there is none to be had."""
    connection: asyncpg.Connection | None = None
    try:
        connection = await asyncpg.connect(
            host=store.host,
            port=store.port,
            user=store.user,
            password=store.password or None,
            database=store.database,
            ssl=_tls(store),
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=statement_timeout_s,
            server_settings={**_SESSION, "application_name": "trunkline"},
        )
        await _set_up(connection, store)
    except BaseException as error:
        if connection is not None:
            connection.terminate()
        if isinstance(error, FAILURES):
            raise failure(store, error) from error
        raise
    return connection


async def _set_up(connection: asyncpg.Connection, store: PostgresStore) -> None:
    version = connection.get_server_version()
    if version.major < LEAST_VERSION:
        raise StoreError(
            f"{store.shown}: is PostgreSQL {version.major}; Trunkline needs {LEAST_VERSION} or newer, upgrade the server"
        )
    # What is stricter (`remote_apply`) stays: https://www.postgresql.org/docs/14/runtime-config-wal.html#GUC-SYNCHRONOUS-COMMIT
    await connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise StoreError(
            f"{store.shown}: the database is in {encoding}; make one with `createdb --encoding UTF8 --template template0`"
        )


def failure(store: PostgresStore, error: BaseException) -> StoreError:
    """As it is told: `StoreAway` where waiting helps."""
    is_away = isinstance(error, _AWAY) and not isinstance(error, ssl.SSLError)
    return (StoreAway if is_away else StoreError)(f"{store.shown}: {reason(error)}")


def reason(error: BaseException) -> str:
    """What the server or the driver said, for people. Never the values of a statement: a key's hash may be among them."""
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); correct sslrootcert or sslmode in [store] url"
    if isinstance(error, TimeoutError):
        return "does not answer"
    if isinstance(error, OSError):
        return f"cannot be reached ({error.strerror or error}); is the server running, and [store] url right?"
    return str(error).partition("\n")[0] or type(error).__name__


_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (asyncpg.InvalidPasswordError, "the password was refused; correct user and password in [store] url"),
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "the user was refused; correct [store] url, or the server's pg_hba.conf",
    ),
    (asyncpg.InvalidCatalogNameError, "there is no such database; make it with `createdb`, or correct [store] url"),
    (asyncpg.InsufficientPrivilegeError, "the user may not do this; make it the owner of the database"),
    (asyncpg.CannotConnectNowError, "is starting or shutting down"),
    (asyncpg.TooManyConnectionsError, "has no connection left; raise its max_connections"),
)


def _tls(store: PostgresStore) -> Any:
    """`require` checks nothing unless there is a file of authorities, as libpq has it."""
    if store.tls == "disable" or store.host.startswith("/"):
        return False
    if store.tls in ("allow", "prefer"):
        return store.tls
    try:
        context = ssl.create_default_context(cafile=store.ca_file or None)
        if store.cert_file:
            context.load_cert_chain(store.cert_file, store.key_file or None, password=lambda: "")
    except OSError as error:
        raise StoreError(f"{store.shown}: sslrootcert, sslcert or sslkey cannot be used: {error}") from error
    context.check_hostname = store.tls == "verify-full"
    if store.tls == "require" and not store.ca_file:
        context.verify_mode = ssl.CERT_NONE
    return context


class Blocking:
    """A connection for one thread at a time, which waits for its answers. Lives from construction to `close`.

    It has an event loop of its own, run by whoever asks. A thread whose own loop is running may ask as well: it is held up as by any other driver.
    """

    def __init__(self, store: PostgresStore, *, statement_timeout_s: float = STATEMENT_TIMEOUT_S) -> None:
        self._store = store
        self._loop = asyncio.new_event_loop()
        try:
            self.connection = self.run(connect(store, statement_timeout_s=statement_timeout_s))
        except BaseException:
            self._loop.close()
            raise

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Wait for this."""
        return _outside_of_a_loop(self._loop.run_until_complete, work)

    def fetch(self, statement: str, *values: Any) -> list[Any]:
        """All rows. StoreError where they cannot be had."""
        return self.ask(lambda connection: connection.fetch(statement, *values))

    def ask(self, question: Callable[[asyncpg.Connection], Coroutine[Any, Any, Answer]]) -> Answer:
        """What the question says; StoreError for what the driver raises."""
        try:
            return self.run(question(self.connection))
        except FAILURES as error:
            raise failure(self._store, error) from error

    @property
    def is_closed(self) -> bool:
        return self.connection.is_closed()

    def close(self) -> None:
        """Give the connection up, in whatever state it is."""
        if self._loop.is_closed():
            return
        self.connection.terminate()
        with contextlib.suppress(Exception):
            # The transport closes in the loop's next turns.
            self.run(asyncio.sleep(0))
        self._loop.close()


def alone(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Wait for this in an event loop of its own, from wherever."""
    return _outside_of_a_loop(asyncio.run, work)


def _outside_of_a_loop(run: Callable[[Any], Any], work: Coroutine[Any, Any, Answer]) -> Answer:
    # A thread that runs one loop cannot run another: https://docs.python.org/3/library/asyncio-eventloop.html
    answer: Answer
    if asyncio._get_running_loop() is None:
        answer = run(work)
        return answer
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(run, work).result()
    return answer


@contextlib.asynccontextmanager
async def transaction(connection: asyncpg.Connection, *settings: str) -> AsyncIterator[None]:
    """One transaction; `settings` hold within it, such as `synchronous_commit = off`."""
    async with connection.transaction():
        for setting in settings:
            await connection.execute(f"SET LOCAL {setting}")
        yield
