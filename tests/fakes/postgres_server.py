"""A real PostgreSQL for tests: Debian's binaries on a folder of their own, started at the first need and stopped with the session.

`postgres` is the server, `empty_postgres` a template with the current schema, `postgres_url` a database of the test's own made of it, and
`blank_postgres_url` one without any table. `store_url` gives each test both kinds of stores, one after the other.
"""

import asyncio
import contextlib
import glob
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import asyncpg
import pytest

from trunkline.storage.migrate import upgrade

_NUMBERS = itertools.count(1)
_QUICK = {"fsync": "off", "full_page_writes": "off"}
"""For tests that never kill the server: nothing waits for the disk."""
_TEMPLATE = "trunkline_template"


def binaries() -> Path:
    """Where the newest version's programs are."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
    if not found:
        pytest.fail("there is no PostgreSQL here: python3 scripts/debian.py postgresql", pytrace=False)
    return Path(found[-1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class PostgresServer:
    """Lives from `start` to `remove`; may be killed and started again. It refuses to run as root, and is somebody else then."""

    def __init__(self, settings: Mapping[str, str] = _QUICK, port: int | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tl-pg-"))
        self.port = free_port() if port is None else port
        self._settings = dict(settings)
        self._as_user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        if self._as_user:
            shutil.chown(self.folder, "postgres", "postgres")
        self._process: subprocess.Popen[bytes] | None = None
        self._run(
            "initdb", "-D", str(self.data), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--no-locale"
        )

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres", user: str = "postgres", password: str = "", options: str = "") -> str:
        """Over TCP."""
        who = f"{user}:{password}" if password else user
        return f"postgresql://{who}@127.0.0.1:{self.port}/{database}{options}"

    def set(self, name: str, value: str) -> None:
        """A setting, from the next start on."""
        self._settings[name] = value

    def own(self, *paths: Path) -> None:
        """Give it files that nobody else may read."""
        for path in paths:
            path.chmod(0o600)
            if self._as_user:
                shutil.chown(path, "postgres", "postgres")

    def start(self) -> None:
        """Takes connections on return."""
        settings = {
            "port": str(self.port), "listen_addresses": "127.0.0.1,127.0.0.2", "unix_socket_directories": str(self.folder),
            "max_connections": "100", "shared_buffers": "32MB", **self._settings,
        }  # fmt: skip
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        # It ends with whoever started it: setpriv(1), --pdeathsig.
        command = ["setpriv", "--pdeathsig", "QUIT", str(binaries() / "postgres"), "-D", str(self.data), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, cwd="/", **self._as_user
            )
        asyncio.run(self._until_ready()) if asyncio._get_running_loop() is None else self._until_ready_elsewhere()

    def kill(self) -> None:
        """As a machine that loses power does it, but for the disk."""
        assert self._process is not None
        # Its children end by themselves once it is gone; with the whole session killed none writes on meanwhile.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def pause(self) -> None:
        """It holds its connections and answers nothing, until `go_on`."""
        for pid in self._all():
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        for pid in self._all():
            os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """At once, yet in order."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, statement: str, database: str = "postgres") -> None:
        """A statement of an administrator."""
        self._run(
            "psql", "-h", str(self.folder), "-p", str(self.port), "-U", "postgres", "-qX", "-c", statement, database
        )

    def _all(self) -> list[int]:
        found = subprocess.run(["pgrep", "-g", str(self.pid)], capture_output=True, text=True, check=True)
        return [int(line) for line in found.stdout.split()]

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [binaries() / program, *arguments], capture_output=True, text=True, cwd="/", check=False, **self._as_user
        )
        assert done.returncode == 0, done.stderr

    def _until_ready_elsewhere(self) -> None:
        import threading

        thread = threading.Thread(target=lambda: asyncio.run(self._until_ready()))
        thread.start()
        thread.join()

    async def _until_ready(self) -> None:
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(OSError, asyncpg.PostgresError):
                    connection = await asyncpg.connect(
                        host=str(self.folder), port=self.port, user="postgres", database="postgres"
                    )
                    await connection.close()
                    return
                assert self._process is not None
                assert self._process.poll() is None, (self.folder / "log").read_text()
                await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def empty_postgres(postgres: PostgresServer) -> str:
    """The name of the template."""
    postgres.execute(f"CREATE DATABASE {_TEMPLATE}")
    upgrade(postgres.url(_TEMPLATE))
    return _TEMPLATE


def database(postgres: PostgresServer, template: str) -> Iterator[str]:
    """One made of a template, for as long as it is looked at."""
    name = f"test_{next(_NUMBERS)}"
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield postgres.url(name)
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(postgres: PostgresServer, empty_postgres: str) -> Iterator[str]:
    yield from database(postgres, empty_postgres)


@pytest.fixture
def blank_postgres_url(postgres: PostgresServer) -> Iterator[str]:
    yield from database(postgres, "template0")


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A store of the current schema, of each kind."""
    if request.param == "sqlite":
        request.getfixturevalue("path")
        return str(request.getfixturevalue("url"))
    return str(request.getfixturevalue("postgres_url"))
