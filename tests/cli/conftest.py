"""Starts our own programs as processes and reads what they say, line by line, within a deadline."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

DEADLINE_S = 30.0


class Program:
    """A process of ours whose stdout and stderr are read as they come. Ended at the end of the test."""

    def __init__(self, argv: list[str], cwd: Path, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def until(self, pattern: str) -> re.Match[str]:
        """Read on to the next line that matches."""
        while True:
            try:
                line = self._lines.get(timeout=DEADLINE_S)
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"never said {pattern!r}; said:\n" + "\n".join(self.said))
            self.said.append(line)
            found = re.search(pattern, line)
            if found:
                return found

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end; its exit code. What it said is whole then."""
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        assert not self._reader.is_alive(), "it ended, but something that it started goes on"
        while (line := self._lines.get()) is not None:
            self.said.append(line)
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.send(number)
        return self.end()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(1)
        # A file that a thread reads cannot be closed; then the test has failed already.
        if self.process.stdout is not None and not self._reader.is_alive():
            self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)


@pytest.fixture
def clean_env() -> dict[str, str]:
    """The environment without what would change a gateway: no keys of providers, no settings of ours."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONUNBUFFERED": "1"}


@pytest.fixture
def program(tmp_path: Path, clean_env: dict[str, str]) -> Iterator:
    started: list[Program] = []

    def program(*argv: str, **env: str) -> Program:
        started.append(Program([sys.executable, *argv], tmp_path, {**clean_env, **env}))
        return started[-1]

    yield program
    for one in started:
        one.close()


@pytest.fixture
def trunkline(program):
    """`trunkline ARGUMENTS` as a process."""
    return lambda *arguments, **env: program("-m", "trunkline.cli.main", *arguments, **env)
