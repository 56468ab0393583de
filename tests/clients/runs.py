"""One run of a client program in a home and a project of its own. In: `Desk`, arguments, environment. Out: `Ran`.

`Secret` is what only a real round trip can bring back: the prompt asks for it backwards, or it lies in a file.
"""

import os
import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.gateway import GatewayProcess

TIME_LIMIT_S = 150
SHOWN = 3_000


@dataclass(frozen=True)
class Ran:
    what: str
    code: int
    text: str
    gateway: GatewayProcess

    def shows(self, words: str) -> None:
        """The program came to its end and printed this."""
        assert words in self.text, self._account(f"{words!r} is not in its output")
        assert self.code == 0, self._account(f"it ended with {self.code}")

    def failed_with(self, words: str) -> None:
        """The program came to a bad end and said this."""
        assert self.code != 0, self._account("it ended well, but should not")
        assert words in self.text, self._account(f"{words!r} is not in its output")

    def _account(self, reason: str) -> str:
        told = "\n".join(self.gateway.log.splitlines()[-8:])
        return f"{reason}\n$ {self.what}\n{self.text[-SHOWN:]}\n--- the gateway's log ends with\n{told}"


class Desk:
    """Where a program works: a home and a project, both empty at first."""

    def __init__(self, folder: Path, gateway: GatewayProcess) -> None:
        self.gateway = gateway
        self.home = folder / "home"
        self.project = folder / "project"
        self.home.mkdir()
        self.project.mkdir()

    @property
    def root(self) -> str:
        """The gateway's address."""
        return f"http://127.0.0.1:{self.gateway.port}"

    def hide(self) -> str:
        """A word that stands in the project's file `secret.txt` only."""
        word = f"KEY-{secrets.token_hex(6)}"
        (self.project / "secret.txt").write_text(f"the key is {word}\n")
        return word

    def path(self, name: str) -> str:
        return str(self.project / name)

    def read(self, name: str) -> str:
        """A file that the program should have written; empty if it did not."""
        path = self.project / name
        return path.read_text() if path.exists() else ""

    def run(self, words: list[str], env: Mapping[str, str]) -> Ran:
        """Nothing of the environment of this process goes with it but PATH."""
        clean = {"PATH": os.environ["PATH"], "HOME": str(self.home), "TERM": "dumb", "LANG": "C.UTF-8", "NO_COLOR": "1"}
        try:
            done = subprocess.run(
                words,
                cwd=self.project,
                env=clean | dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIME_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            return Ran(" ".join(words), -1, (late.output or b"").decode() + "\n(never came to its end)", self.gateway)
        return Ran(" ".join(words), done.returncode, done.stdout.decode(errors="replace"), self.gateway)


def backwards() -> tuple[str, str]:
    """A directive for the scripted model, and the answer to it, which an echo would not be."""
    word = secrets.token_hex(6)
    return f"<<say OK-{{{{rev:{word}}}}}>>", f"OK-{word[::-1]}"
