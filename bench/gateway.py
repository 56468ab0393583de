"""How the bench runs this build: configuration, key, command line, and a reader of the store for counts."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.bodies import SHORT

MODEL = "bench/alpha"
_CONFIG = """
[server]
host = "127.0.0.1"
[store]
url = "sqlite:///{store}"
[auth]
master_key = "bench-master-key-0123456789abcdef"
[embedded]
enabled = false
[detect]
local_servers = false
{rest}
"""
_PROVIDER = """[providers.{provider}]
name = "{provider}"
base_urls = {{ "{protocol}" = "{url}" }}
api_key = "bench"
"""
_MODEL = """[[models]]
slug = "{slug}"
name = "Alpha"
context_tokens = 200000
max_output_tokens = 100000
input = ["text", "image"]
"""
_OFFER = """[[models.offers]]
provider = "{provider}"
upstream_model = "alpha-1"
protocols = ["{protocol}"]
abortable = {abortable}
price = [
  {{ item = "prompt", unit = "perMTokens", value = "1.10" }},
  {{ item = "completion", unit = "perMTokens", value = "4.40" }},
]
"""

_ABOUT = """
import json, platform, sysconfig
from trunkline import __version__
get = sysconfig.get_config_var
flags = " ".join(str(get(name) or "") for name in ("PY_CORE_LDFLAGS", "PY_CORE_CFLAGS", "PY_CFLAGS"))
print(json.dumps({
    "version": f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})",
    "arguments": get("CONFIG_ARGS") or "", "flags": flags, "free_threaded": bool(get("Py_GIL_DISABLED")),
    "trunkline": __version__,
}))
"""


class Interpreter(msgspec.Struct, frozen=True):
    """What runs the gateway: its version, how it was built, and the gateway's version in its environment."""

    version: str
    arguments: str
    flags: str
    free_threaded: bool
    trunkline: str

    @property
    def words(self) -> str:
        """Whether it was built with profiles (PGO) and as a whole (LTO) decides about a fifth of its speed."""
        given = f"{self.arguments} {self.flags}"
        pgo = "--enable-optimizations" in given or "-fprofile-use" in given or "-fprofile-instr-use" in given
        lto = "--with-lto" in given or "-flto" in given
        bolt = ", BOLT" if "--enable-bolt" in given else ""
        level = next((flag for flag in reversed(self.flags.split()) if flag.startswith("-O")), "-O?")
        threads = ", free-threaded" if self.free_threaded else ""
        return f"{self.version}, {level}, {'PGO' if pgo else 'no PGO'}, {'LTO' if lto else 'no LTO'}{bolt}{threads}"


def interpreter(python: str = sys.executable) -> Interpreter:
    """Asks it. Raises RuntimeError where it is none, or its environment has no gateway."""
    argv = [python, "-P", "-c", _ABOUT]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{python} has no trunkline: {done.stderr[-500:]}")
    return msgspec.json.decode(done.stdout, type=Interpreter)


def version(python: str = sys.executable) -> str:
    return interpreter(python).trunkline


def store_path(folder: Path) -> Path:
    return folder / "bench.db"


def write_config(folder: Path, upstream_url: str, abortable: Sequence[str]) -> Path:
    """Two offers of one model at the same upstream. `abortable` are the providers where leaving stops the meter, so
    that a client that leaves ends the upstream call at once; at the others it is read on for a while."""
    rest = _model(MODEL, "openai.chat", ("one", "two"), upstream_url, abortable)
    return written(folder, rest)


def write_translation_config(folder: Path, upstream_url: str) -> Path:
    """A model for each protocol, with two offers that speak that one alone."""
    both = {short: (f"{short}-one", f"{short}-two") for short in SHORT}
    return written(
        folder,
        "".join(_model(f"bench/{short}", SHORT[short], names, upstream_url, names) for short, names in both.items()),
    )


def _model(slug: str, protocol: str, providers: Sequence[str], url: str, abortable: Sequence[str]) -> str:
    """The model, its offers and their providers."""
    offers = [
        _OFFER.format(provider=name, protocol=protocol, abortable=str(name in abortable).lower()) for name in providers
    ]
    made = [_PROVIDER.format(provider=name, protocol=protocol, url=url) for name in providers]
    return "".join((*made, _MODEL.format(slug=slug), *offers))


def written(folder: Path, rest: str) -> Path:
    config = folder / "trunkline.toml"
    config.write_text(_CONFIG.format(store=store_path(folder), rest=rest))
    return config


def make_key(config: Path, python: str = sys.executable) -> str:
    """An inference key, made as an operator makes it."""
    argv = [*_trunkline(python), "keys", "create", "--config", str(config), "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"trunkline keys create failed: {done.stderr or done.stdout}")
    made = json.loads(done.stdout)
    key: str = made.get("key") or made["secret"]
    return key


def serve_argv(config: Path, port: int, python: str = sys.executable) -> list[str]:
    return [*_trunkline(python), "serve", "--config", str(config), "--port", str(port)]


def count(store: Path, table: str, where: str = "1 = 1") -> int:
    """Rows of a table of the store, read beside the running gateway."""
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10)
    try:
        rows: int = connection.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0]
        return rows
    finally:
        connection.close()


def ids(store: Path, where: str = "1 = 1") -> set[str]:
    """The request ids of the records in the store."""
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10)
    try:
        return {row[0] for row in connection.execute(f"SELECT id FROM records WHERE {where}")}
    finally:
        connection.close()


def data_plane_pid(pids: list[int]) -> int:
    """The process among those of `trunkline serve` that proxies."""
    for pid in pids:
        if b"trunkline.app\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise RuntimeError(f"no data plane among the processes {pids}")


def _trunkline(python: str) -> list[str]:
    """The program as that interpreter's environment has it."""
    program = Path(python).parent / "trunkline"
    return [str(program)] if program.exists() else [python, "-P", "-m", "trunkline.cli.main"]
