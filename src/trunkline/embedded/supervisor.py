"""The local models at run time: each a child process, started on first use, watched, stopped when idle.

In: a model's name. Out: the unix socket and key of its server, or EmbeddedUnavailable with the reason and its mend.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from trunkline.embedded import machine
from trunkline.embedded.child import Orders
from trunkline.embedded.errors import EmbeddedUnavailable, WeightsError
from trunkline.embedded.manifest import Weights, load_manifest
from trunkline.embedded.weights import find, known
from trunkline.socket_folder import make_socket_folder

PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""All that a child gets of our environment: no key of a provider is among it."""
CONTEXT_TOKENS = 4096
SLOTS = 2
BACK_OFF_S = (0.0, 1.0, 5.0, 15.0, 60.0)
"""How long after the n-th failure in a row the next start is refused."""
SETTLE_S = 0.5
STEADY_S = 60.0
"""A child that ran this long before it broke counts as the first failure again."""


class LocalEndpoint(msgspec.Struct, frozen=True):
    """Where a model answers now. The key is made anew for each start."""

    unix_path: str
    api_key: str


class LocalOptions(msgspec.Struct, frozen=True):
    """`idle_stop_s` 0 means never. `start_s` is the longest that loading may take."""

    idle_stop_s: float = 600.0
    start_s: float = 120.0
    context_tokens: int = CONTEXT_TOKENS
    slots: int = SLOTS


class LocalModels:
    """Owns the children. Lives as long as the gateway's process, in one event loop; `stop` ends everything it
    started."""

    def __init__(
        self,
        cache_dir: Path,
        env: Mapping[str, str],
        options: LocalOptions | None = None,
        *,
        monotonic: Callable[[], float],
        manifest: Mapping[str, Weights] | None = None,
    ) -> None:
        self._cache_dir = cache_dir.absolute()
        self._env = {name: env[name] for name in PASSED_ON if name in env} | {"OMP_WAIT_POLICY": "passive"}
        self._options = options or LocalOptions()
        self._monotonic = monotonic
        self._manifest = manifest or load_manifest()
        self._children: dict[str, _Child] = {}
        self._failures: dict[str, _Failures] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._stopped = False

    def preflight(self, name: str) -> list[str]:
        """What stands in the way of this model, each with its mend. Empty: it will start."""
        weights = known(name, self._manifest)
        reasons = machine.runtime_reasons()
        if find(weights, self._cache_dir) is None:
            reasons.append(f"its weights are not here; run `trunkline models pull {name.removeprefix('local/')}`")
        memory = machine.memory_reason(machine.memory_needed(weights.bytes), machine.available_memory())
        return reasons + ([memory] if memory else [])

    def running(self) -> list[str]:
        """Names of the models that are loaded now."""
        return [name for name, child in self._children.items() if child.alive]

    async def endpoint(self, name: str) -> LocalEndpoint:
        """The model's server, started where it does not run. Callers that come meanwhile wait for the same start."""
        name = name.removeprefix("local/")
        child = self._children.get(name)
        if child and child.alive and child.ready:
            child.touch()
            return child.endpoint
        async with self._locks.setdefault(name, asyncio.Lock()):
            child = self._children.get(name)
            if child and child.alive:
                child.touch()
                return child.endpoint
            return await self._start(name)

    def begin(self, name: str) -> None:
        """An answer is being read: the model is not idle until as many `end` were called."""
        if child := self._children.get(name.removeprefix("local/")):
            child.busy += 1

    def end(self, name: str) -> None:
        """See `begin`."""
        if child := self._children.get(name.removeprefix("local/")):
            child.busy = max(0, child.busy - 1)
            child.touch()

    async def lost(self, name: str) -> None:
        """A connection to the model failed: wait a moment, so that a process that died is seen as dead."""
        if child := self._children.get(name.removeprefix("local/")):
            await child.settle()

    async def stop(self) -> None:
        """End all children; nothing starts afterwards."""
        self._stopped = True
        children = list(self._children.values())
        self._children.clear()
        await asyncio.gather(*(child.stop() for child in children))

    async def _start(self, name: str) -> LocalEndpoint:
        if self._stopped:
            raise EmbeddedUnavailable("the gateway is stopping")
        path = await self._checked_weights(name)
        failures = self._failures.setdefault(name, _Failures(self._monotonic))
        failures.refuse_while_backing_off(name)
        if before := self._children.pop(name, None):
            await before.stop()
        child = _Child(self._options, self._monotonic, failures)
        self._children[name] = child
        try:
            await child.start(path, name, self._env)
        except EmbeddedUnavailable:
            failures.add()
            raise
        return child.endpoint

    async def _checked_weights(self, name: str) -> Path:
        try:
            weights = known(name, self._manifest)
        except WeightsError as error:
            raise EmbeddedUnavailable(str(error)) from error
        reasons = self.preflight(name)
        if (
            reasons
            and machine.memory_reason(machine.memory_needed(weights.bytes), machine.available_memory()) == reasons[-1]
        ):
            await self._stop_idle()
            reasons = self.preflight(name)
        path = find(weights, self._cache_dir)
        if reasons or path is None:
            raise EmbeddedUnavailable(f"local/{name} cannot run here: {'; '.join(reasons)}")
        return path

    async def _stop_idle(self) -> None:
        """Make room: another model that nobody reads from gives its memory back."""
        for name in [name for name, child in self._children.items() if not child.busy]:
            await self._children.pop(name).stop()


class _Failures:
    """Failures in a row of one model. Lives as long as the gateway."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._count = 0
        self._last_s = 0.0
        self.words = ""

    def add(self, words: str = "", ran_s: float = 0.0) -> None:
        self._count = 1 if ran_s >= STEADY_S else self._count + 1
        self._last_s = self._monotonic()
        self.words = words or self.words

    def refuse_while_backing_off(self, name: str) -> None:
        if not self._count:
            return
        wait_s = self._last_s + BACK_OFF_S[min(self._count - 1, len(BACK_OFF_S) - 1)] - self._monotonic()
        if wait_s > 0:
            raise EmbeddedUnavailable(
                f"local/{name} broke {self._count} times in a row; next try in {wait_s:.0f} s. {self.words}".strip()
            )


class _Child:
    """One start of one model's process. Lives until the process has ended and its directory is gone."""

    def __init__(self, options: LocalOptions, monotonic: Callable[[], float], failures: _Failures) -> None:
        self._options = options
        self._monotonic = monotonic
        self._failures = failures
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._directory: Path | None = None
        self._said: deque[str] = deque(maxlen=20)
        self._used_s = monotonic()
        self._stopping = False
        self.busy = 0
        self.ready = False
        self.endpoint = LocalEndpoint("", "")

    @property
    def alive(self) -> bool:
        return self.ready and not self._stopping and self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def touch(self) -> None:
        self._used_s = self._monotonic()

    async def start(self, model_path: Path, name: str, env: Mapping[str, str]) -> None:
        """Start the process and wait until its /health is good. Raises EmbeddedUnavailable with the process's last
        words."""
        self._directory = make_socket_folder("trunkline-model-")
        self.endpoint = LocalEndpoint(str(self._directory / "m.sock"), secrets.token_urlsafe(32))
        orders = Orders(
            model_path=str(model_path),
            alias=name,
            socket_path=self.endpoint.unix_path,
            api_key=self.endpoint.api_key,
            parent_pid=os.getpid(),
            threads=machine.physical_cores(),
            context_tokens=self._options.context_tokens,
            slots=self._options.slots,
        )
        pipe = asyncio.subprocess.PIPE
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "trunkline.embedded.child",
                stdin=pipe, stdout=pipe, stderr=pipe, env=env, start_new_session=True,
            )  # fmt: skip
            self._listening = asyncio.create_task(self._listen(self._process))
            async with asyncio.timeout(self._options.start_s):
                await self._hand_over(orders, self._process)
        except TimeoutError:
            await self.stop()
            raise EmbeddedUnavailable(f"local/{name} was not loaded within {self._options.start_s:g} s") from None
        except OSError as error:
            await self.stop()
            raise EmbeddedUnavailable(f"local/{name} cannot be started: {error}") from error
        except BaseException:
            await self.stop()
            raise
        self.ready = True
        self.touch()
        self._watch = asyncio.create_task(self._watched(self._process))

    async def _hand_over(self, orders: Orders, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(ConnectionError):
            process.stdin.write(msgspec.json.encode(orders) + b"\n")
            await process.stdin.drain()
        if await process.stdout.readline() != b"ready\n":
            await process.wait()
            await self._heard()
            raise EmbeddedUnavailable(f"local/{orders.alias} did not start: {self._last_words(process)}")
        await _wait_healthy(orders.socket_path)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Keep the last lines that the process says, so that its end can be explained."""
        assert process.stderr is not None
        while line := await process.stderr.readline():
            self._said.append(line.decode("utf-8", "replace").strip())

    def _last_words(self, process: asyncio.subprocess.Process) -> str:
        words = next((line for line in reversed(self._said) if line), "it said nothing")
        code = process.returncode or 0
        return f"ended by signal {-code}; {words}" if code < 0 else f"exit code {code}; {words}"

    async def _watched(self, process: asyncio.subprocess.Process) -> None:
        """Until the process ends: by itself, which is a failure, or because nobody used it for `idle_stop_s`."""
        started_s = self._monotonic()
        while process.returncode is None and not self._idle():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self._next_look_s())
        broke = process.returncode is not None and not self._stopping
        self._stopping = True
        await _end(process)
        await self._heard()
        self._clean()
        if broke:
            self._failures.add(self._last_words(process), self._monotonic() - started_s)

    def _idle(self) -> bool:
        idle_s = self._options.idle_stop_s
        return idle_s > 0 and not self.busy and self._monotonic() - self._used_s >= idle_s

    def _next_look_s(self) -> float | None:
        idle_s = self._options.idle_stop_s
        if idle_s <= 0:
            return None
        return max(0.01, idle_s if self.busy else self._used_s + idle_s - self._monotonic())

    async def settle(self) -> None:
        """Until the process is seen as dead, or has shown for a moment that it lives."""
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), SETTLE_S)

    async def stop(self) -> None:
        """End the process now."""
        self._stopping = True
        if self._process is not None:
            await _end(self._process)
        if self._watch is not None:
            await self._watch
        await self._heard()
        self._clean()

    async def _heard(self) -> None:
        """The process's last words are all here, once its end of the pipe is closed."""
        if self._listening is not None:
            await self._listening

    def _clean(self) -> None:
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Closing stdin is the word to end; SIGKILL is for a process that does not hear it: it holds nothing that must be
    saved."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(2.0):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _wait_healthy(unix_path: str) -> None:
    """llama-server says 503 while it loads, 200 once it can answer
    (https://github.com/ggml-org/llama.cpp/tree/master/tools/server)."""
    while True:
        reader, writer = await asyncio.open_unix_connection(unix_path)
        try:
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if b" 200 " in await reader.readline():
                return
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await asyncio.sleep(0.05)
