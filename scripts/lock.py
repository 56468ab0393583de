"""Resolve the dependencies into `requirements/*.lock`: exact versions and hashes for every platform, no address of any index.

`run.lock` is what `make run` and users install (with the embedded model's runtime); `dev.lock` adds what tests and checks need, at the same versions.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMON = [
    sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
    "--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate", "pyproject.toml", "--extra", "embedded",
]  # fmt: skip


def compile_lock(target: str, *extra: str) -> None:
    """Write one lock file; the newest versions that fit, unless the constraint file says otherwise."""
    subprocess.run([*COMMON, *extra, "--upgrade", "-o", f"requirements/{target}"], cwd=ROOT, check=True)


if __name__ == "__main__":
    compile_lock("run.lock", "requirements/build.in")
    compile_lock("dev.lock", "requirements/build.in", "--group", "dev", "-c", "requirements/run.lock")
