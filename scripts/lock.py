"""Resolve the dependencies into `requirements/*.lock`: exact versions and hashes for every platform, no address of any index.

`run.lock` is what `make run` and users install (with the embedded model's runtime); `dev.lock` adds what tests and checks need, at the same versions;
`cluster.lock` is what the container holds: the drivers of PostgreSQL and Redis, and no local models;
`clients`, `sdks` and `frameworks` are real client programs, each installed apart.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# With extras: pip looks at the newest `package[extra]` before it minds the pin of `package`, and refuses what has no hash here.
COMPILE = [
    sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
    "--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate", "--no-strip-extras", "--upgrade",
]  # fmt: skip
PROJECT = ("pyproject.toml", "--extra", "embedded", "requirements/build.in")
CLUSTER = ("pyproject.toml", "--extra", "cluster", "requirements/build.in")


def compile_lock(target: str, *sources: str) -> None:
    """Write one lock file; the newest versions that fit, unless a constraint file says otherwise."""
    subprocess.run([*COMPILE, *sources, "-o", f"requirements/{target}"], cwd=ROOT, check=True)


if __name__ == "__main__":
    compile_lock("run.lock", *PROJECT)
    compile_lock("dev.lock", *PROJECT, "--group", "dev", "-c", "requirements/run.lock")
    compile_lock("cluster.lock", *CLUSTER, "-c", "requirements/dev.lock")
    for name in ("clients", "sdks", "frameworks"):
        compile_lock(f"{name}.lock", f"requirements/{name}.in")
