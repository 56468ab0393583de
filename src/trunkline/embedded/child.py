"""The process that runs a model: a llama-server on a unix socket, inside this Python. Run as `python -m
trunkline.embedded.child`.

In: one line of JSON on stdin (`Orders`). Out: the line `ready` on stdout, then an HTTP server until stdin ends.
It ends with its parent: by the kernel's word on Linux, by the end of stdin everywhere. Its environment holds no
secret; the key comes by stdin.
"""

import ctypes
import functools
import itertools
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

PR_SET_PDEATHSIG = 1
PROMPT_CACHE_MIB = 128


class Orders(msgspec.Struct, frozen=True):
    """What to serve, and where. `context_tokens` is for each of the `slots`, which answer at the same time."""

    model_path: str
    alias: str
    socket_path: str
    api_key: str
    parent_pid: int
    threads: int
    context_tokens: int = 4096
    slots: int = 2


def main() -> None:
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    _die_with(orders.parent_pid)
    leave = functools.partial(_leave, Path(orders.socket_path).parent, itertools.count())
    threading.Thread(target=_wait_for_end, args=(leave,), daemon=True).start()
    try:
        server = _serve(orders)
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    # Nobody reads stdout any more; what a library prints must not fill the pipe.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGTERM, lambda *_: leave())
    while server:
        signal.pause()


def _die_with(parent_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # The parent may have gone before the kernel was asked.
    if os.getppid() != parent_pid:
        os._exit(1)


def _wait_for_end(leave: Callable[[], None]) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    leave()


def _leave(directory: Path, calls: Iterator[int]) -> None:
    """End at once: the runtime holds nothing that must be saved. The parent may be gone, so its directory is cleared
    here; the end of stdin and the signal come together, and only the first of them does it."""
    if next(calls):
        return
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)


def _serve(orders: Orders) -> object:
    """Start the server in threads of its own. What the runtime leaves open by default is shut: no pages, no foreign
    origins, a key."""
    # After the watchdog is there: it loads 100 MB of native code.
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = orders.model_path
    params.model_alias = {orders.alias}
    # A name that ends in .sock is taken for a unix socket (llama.cpp, tools/server/server-http.cpp).
    params.hostnames = [orders.socket_path]
    params.api_keys = [orders.api_key]
    params.n_parallel = orders.slots
    params.n_ctx = orders.context_tokens * orders.slots
    params.fit_params = False
    params.ui = False
    params.cors_origins = "null"
    params.cors_credentials = False
    params.endpoint_slots = False
    params.n_gpu_layers = 0
    params.offline = True
    # The default keeps up to 8 GiB of old prompts in memory.
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.verbosity = 1
    params.cpuparams.n_threads = orders.threads
    params.cpuparams_batch.n_threads = orders.threads
    server: object = xllamacpp.Server(params)
    return server


if __name__ == "__main__":
    main()
