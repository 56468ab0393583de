"""The composition root: settings -> services -> application, in one data-plane process. The only place that wires everything.

Run by `trunkline serve` as `python -m trunkline.app --fd N --folder PATH [--worker N] [--config FILE]`; the socket is bound and the store migrated by then.
"""

import argparse
import asyncio
import contextlib
import datetime
import gc
import hmac
import os
import random
import signal
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvloop

from trunkline.accounts.keys import ApiKey, KeyRing
from trunkline.accounts.secrets_file import load_or_make
from trunkline.api.cors import Cors
from trunkline.api.data_plane import DataPlane
from trunkline.api.forward import Forwarder
from trunkline.api.live import Hours
from trunkline.api.metrics import Metrics
from trunkline.api.models import ModelList
from trunkline.api.server import Limits, Server
from trunkline.api.trusted_proxies import TrustedProxies
from trunkline.api.workers import Workers
from trunkline.beside import Beside
from trunkline.cli.lifeline import Place, end_with_parent
from trunkline.cli.logs import make_logger
from trunkline.cli.waiting import once_it_is_there
from trunkline.embedded.supervisor import LocalModels, LocalOptions
from trunkline.embedded.transport import SmallModelTransport
from trunkline.errors import ConfigError, StoreError, TrunklineError
from trunkline.execution.capture import Captures
from trunkline.execution.conversations import Conversations
from trunkline.execution.gateway import Clock, Gateway, Snapshot, Vault
from trunkline.execution.idempotency import OnceOnly
from trunkline.execution.probes import ProbePolicy, Probes
from trunkline.execution.shelf import Shelf
from trunkline.execution.states import StoredStates
from trunkline.execution.tokenizer import load as load_tokenizer
from trunkline.execution.transport.client import HttpTransport
from trunkline.execution.transport.options import TransportOptions
from trunkline.following import Following, shared_state
from trunkline.leaving import Leaving
from trunkline.providers.google_tokens import GoogleTokens
from trunkline.records.bodies import CapturePolicy
from trunkline.records.redaction import rules_of
from trunkline.records.watched import Watched, Watcher
from trunkline.records.writer import RecordWriter
from trunkline.routing.health import Health
from trunkline.settings import ServerSettings, Settings, load_settings, taken_over
from trunkline.snapshot import build, build_with_servers, local_layers
from trunkline.storage.bodies import Bodies, WithBodies
from trunkline.storage.body_files import days_of
from trunkline.storage.cipher import Cipher
from trunkline.storage.credential_cipher import CredentialCipher
from trunkline.storage.credentials_sync import CredentialFeed
from trunkline.storage.gateway_store import Left, WritingPlace, opened
from trunkline.storage.kept import KeptReader
from trunkline.storage.keys_sync import KeyFeed
from trunkline.storage.live_figures import LiveFigures
from trunkline.stored import StoredKeys
from trunkline.telemetry.counters import Counters

KEY_POLL_S = 0.5
"""A revoked key stops working within this, wherever it was revoked."""
STORE_LOOK_S = 1.0
"""How often it is looked whether the store takes records."""
SMALL_LOCAL = "small-local"
BATCH_EVERY_S = 0.04
"""Records wait this long for others: with a commit behind it well within the 100 ms after which an answer must survive a crash."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The process; its exit code, 2 for a wrong configuration."""
    parser = argparse.ArgumentParser(
        prog="trunkline.app", description="One data-plane process; started by `trunkline serve`."
    )
    parser.add_argument("--fd", type=int, required=True, help="listening socket")
    parser.add_argument("--folder", type=Path, required=True, help="of this run: the unix sockets of its processes")
    parser.add_argument("--worker", default="1", help="which of the data planes this is")
    parser.add_argument("--config", type=Path)
    options = parser.parse_args(arguments)
    end_with_parent()
    log = make_logger(sys.stderr, "data plane")
    place = Place(options.folder, options.worker)

    def doors(listener: socket.socket) -> Sequence[socket.socket]:
        """Where callers are told to wait, while the store is away: not over TLS, nor where the process that this one is to replace answers them."""
        return () if settings.server.tls_cert or place.is_shared else (listener,)

    try:
        settings = load_settings(options.config)
        counters = Counters()
        watchers: list[Watcher] = [counters.see]
        bodies = _bodies(settings, log)
        left = Left()
        with (
            socket.socket(fileno=options.fd) as listener,
            _traces(settings, watchers),
            _records(settings, watchers, bodies, log, left, doors(listener)) as writer,
        ):
            uvloop.run(_serve(settings, listener, place, writer, counters, watchers, bodies, log, left))
    except ConfigError as error:
        log.error("configuration", error=str(error))
        return 2
    except TrunklineError as error:
        log.error("cannot run", error=str(error))
        return 1
    return 0


@contextlib.contextmanager
def _traces(settings: Settings, watchers: list[Watcher]) -> Iterator[None]:
    """Spans of what is stored, where the operator wants them; the last ones are sent after the last record is stored."""
    endpoint = settings.telemetry.otlp_endpoint
    if endpoint is None:
        yield
        return
    from trunkline.telemetry.otlp import Spans

    spans = Spans(endpoint)
    watchers.append(spans.see)
    try:
        yield
    finally:
        spans.close()


@contextlib.contextmanager
def _records(
    settings: Settings,
    watchers: Sequence[Watcher],
    bodies: Bodies,
    log: Any,
    left: Left,
    doors: Sequence[socket.socket],
) -> Iterator[RecordWriter]:
    """What a crash left is closed, then the writer runs until everything is stored. `watchers` see what is."""
    asked = settings.store
    place = WritingPlace(asked.url, asked.path, asked.spool_path, asked.spool_max_mb * 1024 * 1024)

    def told(error: str) -> None:
        log.error("this gateway cannot be seen by the others, nor see them", error=error)

    with contextlib.ExitStack() as stack:
        store = once_it_is_there(lambda: stack.enter_context(opened(place, _cipher(settings), told, left)), doors, log)
        if store.brought_over:
            log.warning("batches of records that waited for the store were stored", count=store.brought_over)
        if store.interrupted:
            log.warning("requests that an earlier stop interrupted were closed", count=store.interrupted)
        writer = RecordWriter(
            lambda: WithBodies(Watched(store.batch(), watchers), bodies),
            min_interval_s=BATCH_EVERY_S,
            journal=store.journal,
        )
        yield from _running(writer, bodies)


def _running(writer: RecordWriter, bodies: Bodies) -> Iterator[RecordWriter]:
    writer.start()
    try:
        yield writer
    finally:
        try:
            writer.stop()
        finally:
            bodies.close()


async def _serve(
    settings: Settings,
    listener: socket.socket,
    place: Place,
    writer: RecordWriter,
    counters: Counters,
    watchers: list[Watcher],
    bodies: Bodies,
    log: Any,
    left: Left,
) -> None:
    http = HttpTransport(TransportOptions(proxies=settings.env, ca_file=settings.env.get("SSL_CERT_FILE", "")))
    small = SmallModelTransport(http, _local_models(settings), lambda: f"call_{os.urandom(12).hex()}")
    clock = _clock()
    beside = Beside(settings, clock, Health(random.random))
    tokens = GoogleTokens(http, time.time)
    reader = KeptReader(settings.store.url, _cipher(settings))
    reading = ThreadPoolExecutor(1, "kept-reader")
    shelf = Shelf(writer, reader, reading, clock.unix_ms)
    states = StoredStates(shelf, clock.unix_ms, settings.gateway.state_days)
    conversations = Conversations(shelf, settings.gateway.response_days)
    gateway = Gateway(
        build_with_servers(settings, {}),
        {"": http, SMALL_LOCAL: small},
        beside.health,
        writer,
        clock,
        Vault(_vault_secret(settings), states.keep),
        Vault(_vault_secret(settings), states.keep_here),
        states,
        conversations,
        tokens,
        tokenizer=load_tokenizer(),
        holds=beside.holds(settings.routing.conversations),
        captures=_captures(bodies, clock),
    )
    keys, stored = Keys(settings), _stored_keys(gateway, settings, log)
    following = Following(settings, clock, shared_state(settings, clock, left.ours), writer.all_stored, left)
    gateway.accounting = following.accounting
    ledger = beside.ledger(Shelf(writer, reader, reading, clock.unix_ms), writer)
    once = OnceOnly(ledger, settings.gateway.idempotency_hours, settings.gateway.idempotency_max_bytes)
    cors = Cors(settings.server.cors_origins)
    readiness = Readiness(writer, http, log)
    forwarder = Forwarder(http, str(place.console), TrustedProxies(settings.server.trusted_proxies))
    live = LiveFigures(settings.store.url)

    models_shown = ModelList(gateway, _last_day(live, reading, clock))
    metrics = Metrics(gateway, counters, readiness.state, settings, Workers(place.own, http))
    probes = Probes(gateway, log)
    probes.take_over(_probe_policy(settings))
    watchers.append(probes.see)
    plane = DataPlane(gateway, keys.authenticate, models_shown, forwarder, cors, readiness.state, once, metrics, log)
    server, tls = Server(plane, log, Limits()), _tls(settings.server)
    leaving = Leaving(server, readiness.turn_away, place, settings.server)

    def take_over(changed: Settings) -> None:
        keys.take_over(changed)
        following.take_over(changed)
        states.retain(changed.gateway.state_days)
        conversations.retain(changed.gateway.response_days)
        once.retain(changed.gateway.idempotency_hours, changed.gateway.idempotency_max_bytes)
        gateway.holds.limit(changed.routing.conversations)
        cors.allow(changed.server.cors_origins)
        metrics.take_over(changed)
        bodies.policy = _capture_policy(changed)
        gateway.captures = _captures(bodies, clock)
        probes.take_over(_probe_policy(changed))
        _renew_certificate(tls, changed.server, log)

    reload = Reload(stored.put, settings, take_over, log)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload.begin)
    leaving.heed_signals(loop)
    going_on = [part.keep_fresh(log) for part in (keys, following, beside, stored)]
    polling = [loop.create_task(work) for work in (*going_on, readiness.watch(), probes.keep_going())]
    reload.look_around()
    _spare_the_collector()
    try:
        await server.start(listener, tls)
        await server.start_at(place.own)
        await leaving.told()
        await leaving.leave()
        await metrics.keep_last(plane.refused, writer.all_stored)
    finally:
        for task in polling:
            task.cancel()
        await reload.stop()
        await tokens.aclose()
        await small.aclose()
        for part in (keys, following, beside, stored):
            part.close()
        reading.shutdown()
        live.close()
        reader.close()


def _last_day(
    live: LiveFigures, reading: Executor, clock: Clock
) -> Callable[[Sequence[str]], Awaitable[Mapping[str, Hours]]]:
    async def last_day(offers: Sequence[str]) -> Mapping[str, Hours]:
        return await asyncio.get_running_loop().run_in_executor(reading, live.last_day, offers, clock.unix_ms())

    return last_day


def _local_models(settings: Settings) -> LocalModels:
    options = LocalOptions(idle_stop_s=settings.embedded.idle_stop_s)
    return LocalModels(settings.cache_dir, settings.env, options, monotonic=time.monotonic)


def _bodies(settings: Settings, log: Any) -> Bodies:
    def told(error: str) -> None:
        log.error("bodies cannot be kept; requests and their records go on", error=error)

    return Bodies(days_of(settings.store.url), _cipher(settings), _capture_policy(settings), told)


def _capture_policy(settings: Settings) -> CapturePolicy:
    asked = settings.capture
    rules = rules_of(asked.redact, [(rule.name, rule.pattern) for rule in asked.rules])
    return CapturePolicy(asked.bodies, asked.max_bytes, asked.days, rules)


def _captures(bodies: Bodies, clock: Clock) -> Captures | None:
    """None where nothing is captured: then a request is asked for no more than that."""
    return None if bodies.policy.bodies == "off" else Captures(bodies.policy, bodies.put, clock.now_s)


def _probe_policy(settings: Settings) -> ProbePolicy | None:
    asked = settings.routing.probes
    return None if asked is None else ProbePolicy(asked.every_s, asked.budget_usd_per_day)


def _spare_the_collector() -> None:
    """What is there now stays for good, so the garbage collector need not walk it again; and requests make hardly any cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _tls(settings: ServerSettings) -> ssl.SSLContext | None:
    """Of the certificate's files; None without them. Raises ConfigError where they cannot be used."""
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=lambda: "")
    except OSError as error:
        raise ConfigError(f"the certificate cannot be used: {error}", where="server.tls_cert") from error
    return context


def _renew_certificate(context: ssl.SSLContext | None, settings: ServerSettings, log: Any) -> None:
    """New connections get what is in the certificate's files now."""
    if context is None or settings.tls_cert is None:
        return
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=lambda: "")
    except OSError as error:
        log.error("the certificate is not renewed, the old one stays", error=str(error))


def _stored_keys(gateway: Gateway, settings: Settings, log: Any) -> StoredKeys:
    """The keys of providers that the store keeps. One that cannot be opened is told, and the others go on."""
    cipher = CredentialCipher(load_or_make(settings.secrets_path).pepper)
    feed = CredentialFeed(settings.store.url, cipher, lambda fault: log.error("a stored key is of no use", error=fault))
    stored = StoredKeys(gateway, settings, feed.poll, feed.close)
    stored.follow()
    return stored


class Keys:
    """The keys that hold, followed in the store. Lives as long as the process."""

    def __init__(self, settings: Settings) -> None:
        self._secrets = load_or_make(settings.secrets_path)
        self._feed = KeyFeed(settings.store.url)
        self._known: list[ApiKey] = []
        self.take_over(settings)
        self._take(self._feed.poll())

    def take_over(self, settings: Settings) -> None:
        """From now on the master key of these settings holds, and no earlier one. The store's keys go on holding."""
        master_key = settings.auth.master_key or self._secrets.master_key
        self._ring = KeyRing(self._secrets.pepper, master_key=master_key, keys=self._known)

    def authenticate(self, secret: str, now_ms: float) -> ApiKey | None:
        """The key of a secret. One that is not known may have been made a moment ago, so the store is asked."""
        key = self._ring.authenticate(secret, now_ms)
        if key is not None:
            return key
        with contextlib.suppress(StoreError):
            if self._take(self._feed.poll_now()):
                return self._ring.authenticate(secret, now_ms)
        return None

    async def keep_fresh(self, log: Any) -> None:
        """Follow the store until cancelled. While it cannot be read, the keys known so far go on holding."""
        while True:
            await asyncio.sleep(KEY_POLL_S)
            try:
                self._take(self._feed.poll())
            except StoreError as error:
                log.error("keys cannot be read, the known ones go on holding", error=str(error))

    def close(self) -> None:
        """Let go of the store."""
        self._feed.close()

    def _take(self, keys: list[ApiKey] | None) -> bool:
        if keys is None:
            return False
        self._known = keys
        self._ring.replace(keys)
        return True


class Reload:
    """Takes over a changed file, catalog, or set of servers on this machine, without dropping a stream. Lives as long as the process."""

    def __init__(
        self,
        put: Callable[[Snapshot, Settings], None],
        settings: Settings,
        take_over: Callable[[Settings], None],
        log: Any,
        *,
        look_s: float = 2.0,
    ) -> None:
        """`look_s` is how long a server on this machine may take to say what it is: nothing waits for it, and a busy machine is slow."""
        self._put = put
        self._settings = settings
        self._take_over = take_over
        self._log = log
        self._look_s = look_s
        self._servers: Mapping[str, Any] = {}
        """The layer of the servers that were found last."""
        self._asked = False
        self._reading: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """On SIGHUP. The file is read as it is after the last call; while it is read, requests go on."""
        self._asked = True
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._read_on())

    def look_around(self) -> None:
        """Look for model servers on this machine, beside everything else, and offer them too."""
        if self._settings.detect.local_servers:
            self._looking = asyncio.get_running_loop().create_task(self._look(self._settings))

    async def stop(self) -> None:
        """End what is under way."""
        await _end(self._reading)
        await _end(self._looking)

    async def _read_on(self) -> None:
        while self._asked:
            self._asked = False
            # A look that ended in between would be overwritten; it starts anew afterwards.
            await _end(self._looking)
            await self._read()
            self.look_around()

    async def _read(self) -> None:
        """A file that is wrong is refused as a whole, and the old state stays."""
        try:
            settings, snapshot = await asyncio.to_thread(self._changed)
        except TrunklineError as error:
            self._log.error("reload refused, the old configuration stays", error=str(error))
            return
        except Exception:  # noqa: BLE001 - a background loop: whatever a file makes of our code, requests go on
            self._log.exception("reload failed, the old configuration stays")
            return
        self._settings = settings
        self._put(snapshot, settings)
        self._take_over(settings)
        self._log.info("reloaded", catalog=snapshot.catalog.version, models=len(snapshot.catalog.models))

    def _changed(self) -> tuple[Settings, Snapshot]:
        """In a thread: hundreds of models take longer to check than a stream should wait. Servers that were found stay until the next look."""
        settings = taken_over(self._settings, load_settings(self._settings.path, self._settings.env))
        return settings, build_with_servers(settings, self._servers if settings.detect.local_servers else {})

    async def _look(self, settings: Settings) -> None:
        from trunkline.embedded.detect import detect, detected_layer

        found = await detect(settings.env, self._look_s, own_ports=(settings.server.port,))
        servers = detected_layer(found)
        if servers == self._servers:
            return
        try:
            snapshot = await asyncio.to_thread(build, settings, [*local_layers(settings), servers])
        except TrunklineError as error:
            self._log.error("servers on this machine cannot be offered", error=str(error))
            return
        self._servers = servers
        self._put(snapshot, settings)
        self._log.info("servers on this machine", names=[server.name for server in found.found])


async def _end(task: "asyncio.Task[None] | None") -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait({task})


class Today:
    """The date in UTC, written once a day. Lives as long as its clock."""

    def __init__(self) -> None:
        self._day = -1
        self._written = ""

    def __call__(self) -> str:
        day = int(time.time() // 86_400)
        if day != self._day:
            self._day = day
            self._written = datetime.datetime.fromtimestamp(day * 86_400, datetime.UTC).date().isoformat()
        return self._written


def _cipher(settings: Settings) -> Cipher:
    return Cipher(load_or_make(settings.secrets_path).pepper)


def _vault_secret(settings: Settings) -> bytes:
    """Kept over restarts, and of no use for anything else."""
    return hmac.digest(load_or_make(settings.secrets_path).pepper, b"carry", "sha256")


def _clock() -> Clock:
    numbers = random.Random(os.urandom(32))  # noqa: S311 - see below
    return Clock(
        # The clock of the event loop, but not in whole milliseconds as uvloop tells it.
        now_s=time.monotonic,
        unix_ms=lambda: time.time() * 1000,
        today=Today(),
        # By time first: ids that lie together keep a batch of records on few pages of the store. They are no secrets, and
        # asking the system for each one's randomness would give the interpreter's lock away.
        new_id=lambda: f"req_{int(time.time() * 1000):011x}{numbers.getrandbits(64):016x}",
    )


class Readiness:
    """What `/readyz` says, and the store's failures in the log. Lives as long as the process."""

    def __init__(self, writer: RecordWriter, http: HttpTransport, log: Any) -> None:
        self._writer = writer
        self._http = http
        self._log = log
        self._told = self._told_figures = ""
        self._is_leaving = False

    def state(self) -> dict[str, Any]:
        """Ready is who can take requests now: not while neither store nor disk takes records, nor while as many wait as may, nor before a stop."""
        stats, upstream, full = self._writer.stats(), self._http.stats(), self._writer.is_full
        return {
            "ready": (stats.is_spooling or not stats.last_error) and not full and not self._is_leaving,
            "store": {
                "queued": stats.queued,
                "full": full,
                "written": stats.written,
                "failures": stats.failures,
                # Everyone may read this page; the error itself names paths.
                "last_error": "the store cannot be written; see the log" if stats.last_error else "",
                "oldest_waiting_s": stats.oldest_waiting_s,
                "spooled_bytes": stats.spooled_bytes,
            },
            "upstream": {"open": upstream.open, "idle": upstream.idle, "created": upstream.created},
        }

    def turn_away(self) -> None:
        """From now on not ready, for good."""
        self._is_leaving = True

    async def watch(self) -> None:
        """Log each new failure of the store, and its end, until cancelled."""
        while True:
            self.tell()
            await asyncio.sleep(STORE_LOOK_S)

    def tell(self) -> None:
        """Log the store's failure, or that it has ended, where that is new."""
        stats = self._writer.stats()
        if stats.figures_error and stats.figures_error != self._told_figures and not stats.last_error:
            self._log.error(
                "figures are not brought up to date, records are stored all the same", error=stats.figures_error
            )
        self._told_figures = stats.figures_error
        error, before = stats.last_error, self._told
        self._told = error
        if error and error != before:
            self._log.error("records cannot be stored, they wait", error=error)
        elif before and not error:
            self._log.info("records are stored again")


if __name__ == "__main__":
    sys.exit(main())
