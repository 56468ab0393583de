"""The programs to measure beside this build, fetched into `bench/.work` by their own package clients, in pinned
versions; nothing is installed into the system. A thing that cannot be had is None: its rows are left out and the
report says so."""

import os
import shutil
import subprocess
import venv
from pathlib import Path

NGINX_PACKAGE = "nginx"
FERROGW_VERSION = "1.5.10"
PORTKEY_VERSION = "1.15.2"
_PATIENCE_S = 240


def nginx(work: Path) -> Path | None:
    """The nginx of this machine, else Debian's package unpacked (not installed, so that no service starts and no root
    is needed)."""
    here = work / "nginx" / "usr" / "sbin" / "nginx"
    on_path = shutil.which("nginx", path=os.defpath + ":/usr/sbin:/usr/local/sbin")
    if on_path or here.exists():
        return Path(on_path) if on_path else here
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return None
    work.mkdir(parents=True, exist_ok=True)
    download = ["apt-get", "download", "-q", NGINX_PACKAGE]
    if not _ran(download, work) and not (_ran(["apt-get", "update", "-q"], work) and _ran(download, work)):
        return None
    package = sorted(work.glob("nginx_*.deb"))[-1]
    _ran(["dpkg", "-x", str(package), str(work / "nginx")], work)
    return here if here.exists() and _ran([str(here), "-v"], work) else None


def ferrogw(work: Path) -> Path | None:
    """The Go gateway of Ferro Labs, whose PyPI wheels carry the binary."""
    home = work / f"ferrogw-{FERROGW_VERSION}"
    program = home / "bin" / "ferrogw"
    if not program.exists():
        venv.create(home, with_pip=True)
        _ran([str(home / "bin" / "pip"), "install", "-q", "--no-deps", f"ferrogw=={FERROGW_VERSION}"], work)
    return program if program.exists() else None


def portkey(work: Path) -> Path | None:
    """Portkey's gateway, a Node program."""
    home = work / f"portkey-{PORTKEY_VERSION}"
    program = home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not program.exists() and shutil.which("npm"):
        home.mkdir(parents=True, exist_ok=True)
        (home / "package.json").write_text('{"private": true}\n')
        package = f"@portkey-ai/gateway@{PORTKEY_VERSION}"
        _ran(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev", package], home)
    return program if program.exists() and shutil.which("node") else None


def version_of(argv: list[str]) -> str:
    """The last word of what a program says of its version."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    words = (done.stdout + done.stderr).split()
    return words[-1] if words else "?"


def _ran(argv: list[str], where: Path) -> bool:
    """Whether the command ended well; its output is kept in install.log."""
    with (where / "install.log").open("ab") as log:
        try:
            return (
                subprocess.run(argv, cwd=where, stdout=log, stderr=log, timeout=_PATIENCE_S, check=False).returncode
                == 0
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
