"""Real client programs from their registries, each at an exact version. In: a name. Out: the command or the folder to run it.

They live outside the repository: in the folder that TRUNKLINE_TEST_CLIENTS names, else in the user's cache. What is there at
the right version is not fetched again. Node 20 or newer, with npm, has to be on PATH for those that are written for it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NODE_MAJOR = 20
PACKAGES: dict[str, dict[str, str]] = {
    "claude-code": {"@anthropic-ai/claude-code": "2.1.330"},
    "codex": {"@openai/codex": "0.169.0"},
    "gemini-cli": {"@google/gemini-cli": "0.61.0"},
    "opencode": {"opencode-ai": "1.18.33"},
    "sdk": {
        "@ai-sdk/anthropic": "3.0.140",
        "@ai-sdk/google": "3.0.141",
        "@ai-sdk/openai": "3.0.141",
        "@ai-sdk/openai-compatible": "2.0.92",
        "@anthropic-ai/sdk": "1.13.0",
        "@google/genai": "2.32.0",
        "ai": "6.0.326",
        "openai": "6.49.0",
        "zod": "4.6.7",
    },
}
COMMANDS = {"claude-code": "claude", "codex": "codex", "gemini-cli": "gemini", "opencode": "opencode"}


def llm() -> list[str]:
    """simonw's llm with llm-zenmux."""
    return [str(_environment("llm", "clients")), str(Path(__file__).with_name("llm_client.py"))]


def sdk_python() -> str:
    """A Python with the SDKs of OpenAI, Anthropic and Google."""
    return str(_environment("sdk", "sdks"))


def frameworks_python() -> str:
    """A Python with LangChain and Pydantic AI."""
    return str(_environment("frameworks", "frameworks"))


def command(name: str) -> str:
    """A program of `COMMANDS`."""
    return str(node_modules(name) / ".bin" / COMMANDS[name])


def node_modules(name: str) -> Path:
    """The folder with the packages of a group of `PACKAGES`."""
    place = _home() / "npm" / name
    modules = place / "node_modules"
    if not all(_version(modules / package) == version for package, version in PACKAGES[name].items()):
        _node()
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
        wanted = [f"{package}@{version}" for package, version in PACKAGES[name].items()]
        _fetch(name, ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *wanted], place)
    return modules


def _home() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TRUNKLINE_TEST_CLIENTS") or cache / "trunkline-test-clients")


def _environment(name: str, requirements: str) -> Path:
    """The Python of an environment that has what `requirements/REQUIREMENTS.in` names, at the hashes of its lock file."""
    place = _home() / "venvs" / name
    folder = ROOT / "requirements"
    pins = re.findall(r"^([\w.-]+)(?:\[.*\])?==([\w.]+)", (folder / f"{requirements}.in").read_text(), re.MULTILINE)
    there = {path.name for path in place.glob("lib/python3*/site-packages/*.dist-info")}
    if not all(f"{package.replace('-', '_')}-{version}.dist-info" in there for package, version in pins):
        _fetch(name, [sys.executable, "-m", "venv", "--clear", str(place)])
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        _fetch(name, [*pip, "--require-hashes", "-r", str(folder / f"{requirements}.lock")])
    return place / "bin" / "python"


def _version(package: Path) -> str | None:
    about = package / "package.json"
    return json.loads(about.read_text())["version"] if about.exists() else None


def _node() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.fail(f"this client needs Node {NODE_MAJOR} or newer, with npm, on PATH", pytrace=False)
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(told.lstrip("v").split(".")[0]) < NODE_MAJOR:
        pytest.fail(f"this client needs Node {NODE_MAJOR} or newer; PATH has {told.strip()}", pytrace=False)


def _fetch(name: str, words: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stdout + done.stderr)[-2_000:]
        pytest.fail(f"{name} could not be installed into {_home()}: {' '.join(words)}\n{told}", pytrace=False)
