"""Makes sure that Debian's programs which checks need are there: `python3 scripts/debian.py chromium nginx`.

What is there already costs one look. As root the rest is installed, and no service is started; anyone else, and a system without apt-get, is told
which packages are missing (exit 1).
"""

import contextlib
import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

# Program -> what must be there (a name on the path, or a pattern of a file's path), and Debian's packages that bring it.
NEEDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "chromium": (
        (
            "chromium",
            "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
            "/usr/share/fonts/truetype/noto/NotoSansMono-Regular.ttf",
        ),
        ("chromium", "fonts-noto-core", "fonts-noto-mono"),
    ),
    "nginx": (("nginx",), ("nginx",)),
    "postgresql": (("/usr/lib/postgresql/*/bin/postgres",), ("postgresql",)),
    "redis": (("redis-server",), ("redis-server",)),
}
# Servers lie where only root's path leads.
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\nexit 101\n"
INSTALL = ("apt-get", "install", "-y", "-q", "--no-install-recommends")


def there(mark: str) -> bool:
    """Whether a program or a file is on this system."""
    if mark.startswith("/"):
        return next(glob.iglob(mark), None) is not None
    return shutil.which(mark, path=PATH) is not None


def missing(names: Sequence[str]) -> list[str]:
    """The packages of those programs that are not there."""
    return [package for name in names if not all(map(there, NEEDS[name][0])) for package in NEEDS[name][1]]


@contextlib.contextmanager
def no_service_starts() -> Iterator[None]:
    """While packages are set up, as https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt has it; a policy that stands is left alone."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text(POLICY_TEXT)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def install(packages: Sequence[str]) -> int:
    """apt-get's exit code."""
    print(f"Installing Debian's {', '.join(packages)} ...", flush=True)
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # Another apt-get may be at work; its end is awaited (apt.conf(5), DPkg::Lock::Timeout).
    patient = ("-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")
    with no_service_starts():
        for command in (("apt-get", "update", "-q", *patient), (*INSTALL, *patient, *packages)):
            done = subprocess.run(
                command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            if done.returncode:
                print(done.stdout, file=sys.stderr)
                return done.returncode
    return 0


def main(names: Sequence[str]) -> int:
    unknown = [name for name in names if name not in NEEDS]
    if unknown or not names:
        print(f"usage: debian.py {{{','.join(NEEDS)}}} ...", file=sys.stderr)
        return 2
    packages = missing(names)
    if not packages:
        return 0
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print(
            f"These checks need Debian's {', '.join(packages)}. Install them as root: apt-get install {' '.join(packages)}",
            file=sys.stderr,
        )
        return 1
    code = install(packages)
    if code == 0 and missing(names):
        print(f"Installed, yet not found: {', '.join(missing(names))}", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
