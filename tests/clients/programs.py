"""Real client programs, installed apart from everything else, under `.clients/`. In: a name. Out: the command to run it."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HOME = ROOT / ".clients"
OPENCODE = "opencode-ai@1.18.33"


def llm() -> list[str]:
    """simonw's llm with llm-zenmux, at the versions and hashes of `requirements/clients.lock`."""
    lock, place = ROOT / "requirements" / "clients.lock", HOME / "llm"
    done, python = place / "installed.lock", place / "bin" / "python"
    if not done.exists() or done.read_bytes() != lock.read_bytes():
        _run([sys.executable, "-m", "venv", "--clear", str(place)])
        _run(
            [
                str(python),
                "-m",
                "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
                "--require-hashes",
                "-r",
                str(lock),
            ]
        )
        done.write_bytes(lock.read_bytes())
    return [str(python), str(Path(__file__).with_name("llm_client.py"))]


def opencode() -> list[str]:
    """opencode, with its own packages beside it."""
    place = HOME / "opencode"
    program = place / "node_modules" / ".bin" / "opencode"
    if not program.exists():
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text(json.dumps({"private": True}))
        _run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", OPENCODE], place)
    return [str(program)]


def _run(command: list[str], folder: Path | None = None) -> None:
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL)
