"""`trunkline serve`: settings, store, listening socket, then the supervisor over the data plane and the console.

In: the file and where to listen. Out: an exit code: 0 stopped as told, 1 could not run, 2 wrong configuration, 128 + n
ended by a second
signal n. The socket is bound here and handed on, so that a data plane that is restarted refuses no caller.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from trunkline.catalog.load import load
from trunkline.cli.logs import make_logger
from trunkline.cli.supervisor import ChildSpec, Supervisor
from trunkline.errors import ConfigError, TrunklineError
from trunkline.settings import Settings, keys_for_next_start, load_settings, with_address
from trunkline.storage import migrate

BACKLOG = 2_048
AFTER_DRAIN_S = 5.0
"""What the data plane gets on top of its drain, to store its last records."""
CONSOLE_GRACE_S = 5.0
PROBE_TIMEOUT_S = 5.0


class ServeError(TrunklineError):
    """The gateway cannot run here and now, although its configuration is right."""


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help="Configuration file [default: ./trunkline.toml, if there]."
)
@click.option("--host", help="Address to listen on, instead of [server] host.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Port to listen on, instead of [server] port; 0 takes a free one."
)
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Data-plane processes: 1 on SQLite."
)
def serve(config: Path | None, host: str | None, port: int | None, workers: int) -> int:
    """Run the gateway until it is told to stop. Fetches nothing, prints no key."""
    if workers > 1:
        raise ConfigError(
            "SQLite has one writer, so one data-plane process; more need PostgreSQL and Redis, which are not in "
            "this version; leave the option out",
            where="--workers",
        )
    written = load_settings(config)
    settings = with_address(written, host or None, port)
    check_catalog(settings)
    with locked_pid_file(settings.pid_path), bound_socket(settings) as listener, runtime_folder() as folder:
        if not migrate.is_current(settings.store.url):
            migrate.upgrade(settings.store.url)
        return _supervise(written, settings, listener, folder / "console.sock")


def _supervise(written: Settings, settings: Settings, listener: socket.socket, console_path: Path) -> int:
    """`written` is the configuration as it stands, `settings` the same with what the command line says."""
    settings = with_address(settings, port=listener.getsockname()[1])
    log = make_logger(sys.stderr, "serve")
    if settings.shared.url is not None:
        log.warning("not used by one process, which keeps its shared state in memory", key="shared.url")
    supervisor = Supervisor(
        _data_plane(settings, listener.fileno(), console_path),
        _console(settings, console_path),
        _child_env(settings),
        log,
        on_ready=lambda: click.echo(f"Trunkline is ready at {settings.address}"),
        on_reload=lambda: _may_reload(written, log),
        on_stop=listener.close,
    )
    return supervisor.run()


def _child_env(settings: Settings) -> dict[str, str]:
    """The children read the same file, whenever they start; these variables win over it, so that they know where they
    really listen, and that one which starts anew after a change of the file uses the store of the other."""
    own = {
        "TRUNKLINE_HOST": settings.server.host,
        "TRUNKLINE_PORT": str(settings.server.port),
        "TRUNKLINE_STORE_URL": settings.store.url,
    }
    # glibc keeps what large bodies took, unless told where "large" begins: https://man7.org/linux/man-pages/man3/mallopt.3.html (M_MMAP_THRESHOLD).
    return {"MALLOC_MMAP_THRESHOLD_": "1000000", **settings.env, **own}


def _may_reload(running: Settings, log: Any) -> bool:
    """Whether the file as it is now can be taken over. What of it waits for a new start is told."""
    try:
        changed = load_settings(running.path, running.env)
        check_catalog(changed)
    except ConfigError as error:
        log.error("reload refused, the old configuration stays", error=str(error))
        return False
    for key in keys_for_next_start(running, changed):
        log.warning("this change is taken over at the next start only", key=key)
    log.info("reload")
    return True


def check_catalog(settings: Settings) -> None:
    """Raises ConfigError where models and providers are wrong in a way that only the whole shows, e.g. an alias
    twice."""
    load(settings.own_layers, downloaded=settings.downloaded_catalog)


def _data_plane(settings: Settings, fd: int, console_path: Path) -> ChildSpec:
    return ChildSpec(
        name="data plane",
        argv=_module("trunkline.app", settings, "--fd", str(fd), "--console", str(console_path)),
        grace_s=settings.server.drain_s + AFTER_DRAIN_S,
        probe=lambda: answers(settings, "/readyz"),
        pass_fds=(fd,),
    )


def _console(settings: Settings, path: Path) -> ChildSpec:
    return ChildSpec(
        name="console",
        argv=_module("trunkline.web.process", settings, "--uds", str(path)),
        grace_s=CONSOLE_GRACE_S,
        probe=lambda: _accepts(path),
    )


def _module(name: str, settings: Settings, *arguments: str) -> tuple[str, ...]:
    # -P: a folder `trunkline` in the working directory must not be taken for this package.
    config = ("--config", str(settings.path)) if settings.path else ()
    return (sys.executable, "-P", "-m", name, *config, *arguments)


def answers(settings: Settings, path: str) -> bool:
    """Whether a GET of `path` on this machine's own gateway is answered with 200 within a few seconds."""
    # Imported here, in the thread that waits for the data plane, and not before that one is started.
    import http.client
    import ssl

    address = urlsplit(settings.local_address)
    host, port = address.hostname or "", address.port
    client = http.client.HTTPConnection(host, port, timeout=PROBE_TIMEOUT_S)
    if address.scheme == "https":
        # This very program bound the socket: whose certificate answers there needs no check, and its name is the public
        # one.
        context = ssl._create_unverified_context()  # noqa: S323
        client = http.client.HTTPSConnection(host, port, timeout=PROBE_TIMEOUT_S, context=context)
    with contextlib.closing(client), contextlib.suppress(OSError, http.client.HTTPException):
        client.request("GET", path, headers={"connection": "close"})
        return client.getresponse().status == 200
    return False


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


@contextlib.contextmanager
def bound_socket(settings: Settings) -> Iterator[socket.socket]:
    """The listening socket, closed at the end. Raises ServeError where the address or the port cannot be had."""
    host, port = settings.server.host, settings.server.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ServeError(
            f"{host} is no address of this machine ({error.strerror}); correct [server] host or --host"
        ) from None
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            raise ServeError(_why_not_bound(error, host, port)) from None
        yield listener


def _why_not_bound(error: OSError, host: str, port: int) -> str:
    mends = {
        errno.EADDRINUSE: f"port {port} on {host} is in use by another program; stop it, or choose another with --port",
        errno.EACCES: f"port {port} may not be used by this user; choose one above 1023 with --port",
        errno.EADDRNOTAVAIL: f"{host} is no address of this machine; correct [server] host or --host",
    }
    return mends.get(error.errno or 0, f"cannot listen on {host} port {port}: {error.strerror}")


@contextlib.contextmanager
def runtime_folder() -> Iterator[Path]:
    """A folder for this run's unix socket, which only this user can enter. Its path is short: a socket's path has about
    100 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="trunkline-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def locked_pid_file(path: Path) -> Iterator[None]:
    """Holds the pid file beside the store, so that one gateway uses it at a time and `trunkline reload` finds that
    one."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}); make its folder, or correct the URL", where="store.url"
        ) from None
    try:
        _lock(fd, path)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
        path.unlink(missing_ok=True)
    finally:
        os.close(fd)


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pid = os.pread(fd, 32, 0).decode().strip() or "unknown"
        raise ServeError(
            f"{path.with_suffix('')} is in use by process {pid}; "
            "stop that gateway, or give this one a [store] url of its own"
        ) from None


def running_pid(path: Path) -> int | None:
    """The process that holds the pid file, if one does."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(fd, 32, 0).decode().strip()
        return int(text) if text.isdecimal() else None
    finally:
        os.close(fd)
    return None
