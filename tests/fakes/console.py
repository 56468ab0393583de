"""The real console process on a unix socket, over a store of its own.

`console` (per module) gives `.client(key)`, `.store(record)` and the keys; two of its providers are Acme (ready) and OpenAI (no key).
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.fakes.stores import AnyStore
from trunkline.records.types import Record
from trunkline.storage import migrate

MASTER_KEY = "sk-master-0123456789"
CONFIG = """
[server]
public_url = "https://llm.example.com"
[store]
url = "sqlite:///{folder}/trunkline.db"
[auth]
master_key = "env:MASTER_KEY"
[pages]
public = true
[embedded]
enabled = false
[detect]
local_servers = false
[providers.acme]
name = "Acme & Sons"
base_url = "http://127.0.0.1:9001"
api_key = "acme-secret-1"
[[models]]
slug = "acme/alpha"
name = "Alpha"
context_tokens = 200000
[[models.offers]]
provider = "acme"
protocols = ["openai.chat"]
price = [
  {{ item = "prompt", unit = "perMTokens", value = "1.10" }},
  {{ item = "completion", unit = "perMTokens", value = "4.40" }},
]
"""


class RunningConsole:
    """Lives until `stop`."""

    def __init__(self, folder: Path, config: str = CONFIG, url: str = "") -> None:
        self.folder = folder
        self.config = folder / "t.toml"
        embedded = f"sqlite:///{folder}/trunkline.db"
        self.url = url or embedded
        # A database has no file beside which the secrets could lie.
        kept = f'"{self.url}"\nsecrets_file = "{folder}/trunkline.secrets"' if url else f'"{embedded}"'
        self.config.write_text(config.format(folder=folder).replace(f'"{embedded}"', kept))
        migrate.upgrade(self.url)
        self.uds = folder / "console.sock"
        argv = [sys.executable, "-m", "trunkline.web.process", "--uds", str(self.uds), "--config", str(self.config)]
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "MASTER_KEY": MASTER_KEY}
        self.process = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.until("ready")

    def client(self, key: str | None = MASTER_KEY, **headers: str) -> httpx2.Client:
        """A client over the unix socket, with a key unless that is None."""
        sent = headers | ({"authorization": f"Bearer {key}"} if key else {})
        transport = httpx2.HTTPTransport(uds=str(self.uds))
        return httpx2.Client(transport=transport, base_url="http://console", headers=sent, timeout=20)

    def keep(self, *records: Record) -> None:
        """Put records into the store, as the data plane does it."""
        batch = AnyStore(self.url, self.folder).batch()
        try:
            batch.write(records, (), ())
            batch.fold(time.time() * 1000)
        finally:
            batch.close()

    def until(self, event: str) -> None:
        """Read its log on to this event."""
        assert self.process.stderr is not None
        said = []
        for line in self.process.stderr:
            said.append(line)
            if f'"event": "{event}' in line:
                return
        raise AssertionError("".join(said))

    def stop(self) -> int:
        self.process.terminate()
        code = self.process.wait(20)
        for stream in (self.process.stdin, self.process.stderr):
            assert stream is not None
            stream.close()
        return code


@pytest.fixture(scope="module")
def console() -> Iterator[RunningConsole]:
    # Not tmp_path: a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="tl-") as folder:
        running = RunningConsole(Path(folder))
        yield running
        running.stop()


@pytest.fixture
def client(console: RunningConsole) -> Iterator[httpx2.Client]:
    """With the master key."""
    with console.client() as made:
        yield made
