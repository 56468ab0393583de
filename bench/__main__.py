"""`python -m bench [--quick]`: measures this build and what can be had beside it, prints the table and writes
bench/results/."""

import argparse
import datetime
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench import gateway, rows, translation
from bench.certificate import make_certificate
from bench.decision import decisions
from bench.measure import cores
from bench.plot import latency_svg
from bench.procs import allow_open_files
from bench.report import holes, markdown, translation_holes
from bench.stacks import available
from bench.types import Report

HERE = Path(__file__).resolve().parent
PHASES = ("memory", "requests", "events", "tls", "translation", "routing")


def main(argv: Sequence[str]) -> int:
    given = _arguments(argv)
    # So that a bench that is told to end takes down what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    allow_open_files(20_000)
    try:
        gateway.interpreter(given.python)
    except (OSError, RuntimeError) as error:
        sys.exit(f"--python: {error}")
    plan = rows.QUICK if given.quick else rows.FULL
    extent = translation.QUICK if given.quick else translation.FULL
    report = measure(plan, extent, peers=not given.quick, pin=not given.no_pin, only=given.only, python=given.python)
    out = given.out or (HERE / ".work" / "results" if given.quick else HERE / "results")
    written = write(report, out)
    print(markdown(report))
    print(f"Written: {written}")
    missing = holes(report) if not given.only else []
    if given.only == "translation":
        missing = translation_holes(report)
    print("\n".join(f"MISSING: {words}" for words in missing) or "The table is whole.")
    return 1 if missing else 0


def measure(plan: rows.Plan, extent: translation.Extent, *, peers: bool, pin: bool, only: str, python: str) -> Report:
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s {line}", file=sys.stderr, flush=True)

    work = HERE / ".work"
    say("getting the stacks")
    wanted = only.split(",") if only else [*PHASES]
    found, notes = available(work, peers and not {"translation", "routing"}.issuperset(wanted), python)
    lab = rows.Lab(plan, work, cores(pin), say)
    if "memory" in wanted:
        rows.start_and_memory(lab, found)
    if "requests" in wanted:
        rows.requests_and_latency(lab, found)
    if "events" in wanted:
        rows.events(lab, found)
    if "tls" in wanted:
        rows.with_tls(lab, found, make_certificate(work))
    if "translation" in wanted:
        translation.translation(lab, extent, python)
    if "routing" in wanted:
        decisions(lab, python)
    notes += lab.notes
    meta = {
        **_machine(pin),
        "python of the gateway": gateway.interpreter(python).words,
        "rounds": str(plan.rounds),
        "took": f"{time.monotonic() - began:.0f} s",
    }
    return Report(meta=meta, stacks={stack.name: stack.version for stack in found}, samples=lab.samples, notes=notes)


def write(report: Report, out: Path) -> str:
    """The report as JSON (every sample), Markdown (the table) and SVG (latency distributions); their common path."""
    out.mkdir(parents=True, exist_ok=True)
    stem = out / f"{report.meta['date'][:10]}-{report.meta['commit']}"
    stem.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    stem.with_suffix(".md").write_text(markdown(report) + f"\n![latency by percentile]({stem.name}.svg)\n")
    stem.with_suffix(".svg").write_text(latency_svg(report))
    return f"{stem}.{{json,md,svg}}"


def _machine(pin: bool) -> dict[str, str]:
    now = datetime.datetime.now(datetime.UTC)
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in _read("/proc/cpuinfo").splitlines()
            if line.startswith("model name")
        ),
        "?",
    )
    return {
        "date": now.strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores of {cpu}, {platform.system()} {platform.release()}",
        "python of the bench": platform.python_version(),
        "pinning": "stack on one core, generator and upstream on the other" if pin else "none",
        "load of the machine at the end": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _commit() -> str:
    """The short commit, `-changed` where the tree differs from it."""
    git = ["git", "-C", str(HERE)]
    short = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    if short.returncode != 0:
        return "uncommitted"
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", "../src"], capture_output=True, text=True, check=False
    )
    return short.stdout.strip() + ("-changed" if changed.stdout.strip() else "")


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one short round without peers: does the bench work, is the table whole"
    )
    parser.add_argument("--no-pin", action="store_true", help="let the operating system choose the cores")
    parser.add_argument("--only", default="", help="some phases only, by comma: " + ", ".join(PHASES))
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter of another environment, to run the gateway and only it"
    )
    parser.add_argument("--out", type=Path, help="folder of the results")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
