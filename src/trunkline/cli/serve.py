"""`trunkline serve`: settings, store, listening sockets, then the supervisor over the data planes and the console.

In: the file and where to listen. Out: an exit code: 0 stopped as told, 1 could not run, 2 wrong configuration, 128 + n ended by a
second signal n. The sockets are bound here and handed on, so that a data plane that is restarted refuses no caller.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from trunkline.catalog.load import load
from trunkline.cli.lifeline import IDLE_LEAVES_WITHIN_S, Place
from trunkline.cli.logs import make_logger
from trunkline.cli.supervisor import ChildSpec, Supervisor
from trunkline.cli.waiting import once_it_is_there
from trunkline.errors import ConfigError, TrunklineError
from trunkline.settings import Settings, keys_for_next_start, load_settings, with_address
from trunkline.socket_folder import make_socket_folder
from trunkline.storage import migrate

BACKLOG = 2_048
AFTER_DRAIN_S = 5.0
"""What the data plane gets on top of its drain, to store its last records."""
CONSOLE_GRACE_S = 5.0
PROBE_TIMEOUT_S = 5.0
MAX_WORKERS = 64


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
    "--workers",
    type=click.IntRange(1, MAX_WORKERS),
    default=1,
    show_default=True,
    help="Data-plane processes; more than 1 need PostgreSQL and Redis.",
)
def serve(config: Path | None, host: str | None, port: int | None, workers: int) -> int:
    """Run the gateway until it is told to stop. Fetches nothing, prints no key."""
    written = load_settings(config)
    settings = with_address(written, host or None, port)
    check_workers(settings, workers)
    check_catalog(settings)
    with (
        locked_pid_file(settings.pid_path),
        bound_socket(settings) as listener,
        shared_port(listener, workers) as listeners,
        runtime_folder() as folder,
    ):
        with _ending_by_signal():
            once_it_is_there(lambda: _bring_up_to_date(settings.store.url), _open_doors(settings, listeners), _log())
        return _supervise(written, settings, listeners, folder)


def _bring_up_to_date(url: str) -> None:
    if not migrate.is_current(url):
        migrate.upgrade(url)


def _open_doors(settings: Settings, listeners: Sequence[socket.socket]) -> Sequence[socket.socket]:
    """Those where callers can be told something while there is nobody else to do it: over TLS they wait instead."""
    return () if settings.server.tls_cert else list(dict.fromkeys(listeners))


@contextlib.contextmanager
def _ending_by_signal() -> Iterator[None]:
    """While there is no supervisor yet, SIGTERM ends everything in order all the same."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def check_workers(settings: Settings, workers: int) -> None:
    """Raises ConfigError where these settings are for one data-plane process only."""
    if workers == 1:
        return
    if is_one_process_store(settings):
        raise ConfigError(
            "SQLite has one writer, so one data-plane process; more need PostgreSQL ([store] url) and Redis "
            "([shared] url); leave the option out, or name both",
            where="--workers",
        )
    if settings.shared.url is None:
        raise ConfigError(
            "several data-plane processes need a Redis or Valkey for what they share: set [shared] url, or leave the "
            "option out",
            where="--workers",
        )


def is_one_process_store(settings: Settings) -> bool:
    """Whether one data plane at a time may use the store."""
    return settings.store.url.startswith("sqlite:")


def _supervise(written: Settings, settings: Settings, listeners: Sequence[socket.socket], folder: Path) -> int:
    """`written` is the configuration as it stands, `settings` the same with what the command line says."""
    settings = with_address(settings, port=listeners[0].getsockname()[1])
    log = _log()
    if settings.shared.url is not None and is_one_process_store(settings):
        log.warning("not used by one process, which keeps its shared state in memory", key="shared.url")
    supervisor = Supervisor(
        [_data_plane(settings, folder, number, listeners) for number in range(len(listeners))],
        _console(settings, Place(folder, "1").console),
        _child_env(settings),
        log,
        on_ready=lambda: _announce(settings),
        on_reload=lambda: _may_reload(written, log),
        on_stop=lambda: _close(listeners),
    )
    return supervisor.run()


def _log() -> Any:
    return make_logger(sys.stderr, "serve")


def _close(listeners: Sequence[socket.socket]) -> None:
    for listener in listeners:
        listener.close()


def _announce(settings: Settings) -> None:
    """That the gateway is ready; to a person, where nobody is a member yet, the link that makes the first administrator.

    On a terminal alone: what services print ends up in logs. `trunkline members first-link` gives the link there.
    """
    click.echo(f"Trunkline is ready at {settings.address}")
    if not sys.stdout.isatty():
        return
    # Imported here, after the start: SQLAlchemy takes a third of a second.
    from trunkline.cli.members import first_admin_link

    try:
        link = asyncio.run(first_admin_link(settings))
    except TrunklineError as error:
        click.echo(f"No link for a first administrator: {error}", err=True)
        return
    if link is not None:
        click.echo(
            f"Nobody can sign in yet but with the master key. For the first administrator, once, within 24 hours:\n{link}"
        )


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


def _data_plane(settings: Settings, folder: Path, number: int, listeners: Sequence[socket.socket]) -> ChildSpec:
    """The one that listens on the socket of this number."""
    place, fd, server = Place(folder, str(number + 1)), listeners[number].fileno(), settings.server
    where = ("--fd", str(fd), "--folder", str(folder), "--worker", place.worker)
    return ChildSpec(
        name="data plane" if len(listeners) == 1 else f"data plane {place.worker}",
        argv=_module("trunkline.app", settings, *where),
        grace_s=server.pre_stop_s + IDLE_LEAVES_WITHIN_S + server.drain_s + AFTER_DRAIN_S,
        probe=lambda pid: is_ready(place.of(pid)),
        pass_fds=(fd,),
        overlaps=not is_one_process_store(settings),
        leave_signal=signal.SIGUSR2,
    )


def _console(settings: Settings, path: Path) -> ChildSpec:
    return ChildSpec(
        name="console",
        argv=_module("trunkline.web.process", settings, "--uds", str(path)),
        grace_s=CONSOLE_GRACE_S,
        probe=lambda _: _accepts(path),
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


def is_ready(path: Path) -> bool:
    """Whether the data plane whose own socket this is takes requests."""
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.settimeout(PROBE_TIMEOUT_S)
        client.connect(str(path))
        client.sendall(b"GET /readyz HTTP/1.1\r\nhost: worker\r\nconnection: close\r\n\r\n")
        return client.recv(64).startswith(b"HTTP/1.1 200 ")
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
            # After `bind`, which has found the port free; the first of several (`shared_port`) must have it before it listens.
            if sys.platform == "linux":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.listen(BACKLOG)
        except OSError as error:
            raise ServeError(_why_not_bound(error, host, port)) from None
        yield listener


@contextlib.contextmanager
def shared_port(first: socket.socket, count: int) -> Iterator[list[socket.socket]]:
    """So many sockets that listen on one port, the given one among them: then the kernel spreads callers evenly, where several
    processes on one socket would leave most to whoever wakes first. What waits in a socket waits for the next process on it."""
    if count == 1 or sys.platform != "linux":
        # Only Linux spreads: https://man7.org/linux/man-pages/man7/socket.7.html (SO_REUSEPORT).
        yield [first] * count
        return
    with contextlib.ExitStack() as opened:
        others = [opened.enter_context(socket.socket(first.family, first.type, first.proto)) for _ in range(count - 1)]
        for other in others:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(first.getsockname())
            other.listen(BACKLOG)
        yield [first, *others]


def _why_not_bound(error: OSError, host: str, port: int) -> str:
    mends = {
        errno.EADDRINUSE: f"port {port} on {host} is in use by another program; stop it, or choose another with --port",
        errno.EACCES: f"port {port} may not be used by this user; choose one above 1023 with --port",
        errno.EADDRNOTAVAIL: f"{host} is no address of this machine; correct [server] host or --host",
    }
    return mends.get(error.errno or 0, f"cannot listen on {host} port {port}: {error.strerror}")


@contextlib.contextmanager
def runtime_folder() -> Iterator[Path]:
    """A folder for this run's unix sockets, gone after it."""
    folder = make_socket_folder("trunkline-")
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
