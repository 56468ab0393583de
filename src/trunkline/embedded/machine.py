"""Whether this machine can run the local model, and how. In: texts and numbers of the operating system. Out: reasons
with their mend; cores."""

import importlib.util
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

RUNTIME = "xllamacpp"
NEEDED_FLAGS = frozenset({"avx2", "fma", "bmi2"})
"""What the runtime's wheels for x86-64 are built for, without a fallback: an older processor ends in SIGILL."""
ELSEWHERE = "use Ollama or another server on this machine (`trunkline detect` finds it), or a provider's key"


def runtime_reasons() -> list[str]:
    """What keeps the runtime from working at all, each with what mends it. Empty: it will run."""
    found = [
        _extra_reason(importlib.util.find_spec(RUNTIME) is not None),
        _libc_reason(sys.platform, platform.libc_ver()[0]),
    ]
    if sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64"):
        found.append(_flags_reason(_read("/proc/cpuinfo")))
    return [reason for reason in found if reason]


def memory_reason(needed_bytes: int, available_bytes: int | None) -> str:
    """Why a model of that size does not fit now; "" where it does, or where the system does not say."""
    if available_bytes is None or available_bytes >= needed_bytes:
        return ""
    return (
        f"{available_bytes / 1e6:.0f} MB of memory are free, the model needs about {needed_bytes / 1e6:.0f} MB; "
        "close something, or take a smaller model (`trunkline models list`)"
    )


def memory_needed(weights_bytes: int) -> int:
    """Measured: resident size is about 1.8 times a file of 1.1 GB and 3.8 times one of 93 MB; half of it is the
    mapped file, which is shed."""
    return int(weights_bytes * 1.3) + 300_000_000


def available_memory() -> int | None:
    """Bytes that can be had without swapping, the container's own limit counted; None where the system does not say."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    if not match:
        return None
    free = int(match[1]) * 1024
    group = Path("/sys/fs/cgroup")
    left = _left_in_group(*(_read(str(group / f"memory.{name}")) for name in ("max", "current", "stat")))
    return free if left is None else min(free, left)


def _left_in_group(limit: str, used: str, stat: str) -> int | None:
    """Bytes that a container's limit leaves; mapped and cached files are shed, so they count as free."""
    if not (limit.strip().isdecimal() and used.strip().isdecimal()):
        return None
    files = re.findall(r"^(?:in)?active_file (\d+)$", stat, re.MULTILINE)
    return int(limit) - int(used) + sum(map(int, files))


def physical_cores() -> int:
    """Cores that this process may use, hardware threads of one core counted once: more threads than that are slower."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota_cores(_read("/sys/fs/cgroup/cpu.max"))
    found = _cores_in(_read("/proc/cpuinfo")) or _cores_of_macos() or allowed
    return max(1, min(found, allowed, quota or found))


def _extra_reason(installed: bool) -> str:
    if installed:
        return ""
    return "the runtime is not installed; run `pip install 'trunkline[embedded]'`"


def _libc_reason(system: str, libc: str) -> str:
    if system == "linux" and libc != "glibc":
        return f"the runtime has no build for musl (Alpine and the like); take an image with glibc, or {ELSEWHERE}"
    if system not in ("linux", "darwin"):
        return f"the local model runs on Linux and macOS, not on {system}; {ELSEWHERE}"
    return ""


def _flags_reason(cpuinfo: str) -> str:
    match = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    missing = NEEDED_FLAGS - set(match[1].split()) if match else frozenset()
    if not missing:
        return ""
    return f"this processor has no {', '.join(sorted(missing)).upper()}, which the runtime needs; {ELSEWHERE}"


def _cores_in(cpuinfo: str) -> int:
    """Pairs of socket and core; 0 where the text does not tell (ARM)."""
    pairs = re.findall(r"^physical id\s*:\s*(\d+)$.*?^core id\s*:\s*(\d+)$", cpuinfo, re.MULTILINE | re.DOTALL)
    return len(set(pairs))


def _quota_cores(cpu_max: str) -> int:
    """Whole cores of a container's quota, at least one; 0 where there is none."""
    quota, _, period = cpu_max.strip().partition(" ")
    return max(1, int(quota) // int(period)) if quota.isdecimal() and period.isdecimal() else 0


def _cores_of_macos() -> int:
    if sys.platform != "darwin":
        return 0
    said = subprocess.run(
        ["/usr/sbin/sysctl", "-n", "hw.perflevel0.physicalcpu"], capture_output=True, text=True, check=False
    )
    return int(said.stdout) if said.stdout.strip().isdecimal() else 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
