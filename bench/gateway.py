"""How the bench runs this build: configuration, key, command line, and a reader of the store for counts."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

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
[providers.one]
name = "One"
base_url = "{url}"
api_key = "bench"
[providers.two]
name = "Two"
base_url = "{url}"
api_key = "bench"
[[models]]
slug = "bench/alpha"
name = "Alpha"
context_tokens = 200000
max_output_tokens = 100000
{offers}
"""
_OFFER = """[[models.offers]]
provider = "{provider}"
upstream_model = "alpha-1"
protocols = ["openai.chat"]
abortable = {abortable}
price = [
  {{ item = "prompt", unit = "perMTokens", value = "1.10" }},
  {{ item = "completion", unit = "perMTokens", value = "4.40" }},
]
"""


def version() -> str:
    from trunkline import __version__

    return __version__


def store_path(folder: Path) -> Path:
    return folder / "bench.db"


def write_config(folder: Path, upstream_url: str, abortable: Sequence[str]) -> Path:
    """Two offers of one model at the same upstream. `abortable` are the providers where leaving stops the meter, so
    that a client that leaves ends the upstream call at once; at the others it is read on for a while."""
    offers = "".join(_OFFER.format(provider=name, abortable=str(name in abortable).lower()) for name in ("one", "two"))
    config = folder / "trunkline.toml"
    config.write_text(_CONFIG.format(store=store_path(folder), url=upstream_url, offers=offers))
    return config


def make_key(config: Path) -> str:
    """An inference key, made as an operator makes it."""
    argv = [*_trunkline(), "keys", "create", "--config", str(config), "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"trunkline keys create failed: {done.stderr or done.stdout}")
    made = json.loads(done.stdout)
    key: str = made.get("key") or made["secret"]
    return key


def serve_argv(config: Path, port: int) -> list[str]:
    return [*_trunkline(), "serve", "--config", str(config), "--port", str(port)]


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


def _trunkline() -> list[str]:
    return [str(Path(sys.executable).parent / "trunkline")]
