"""The bench, the soak and the crash rounds in their short forms: they run whole, and their own checks hold. No figure is judged here."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize(
    "arguments",
    [("bench.soak", "--short"), ("bench.crash", "--rounds", "2"), ("bench.faults", "--short")],
    ids=[
        "callers that leave cost no memory and no record",
        "kill -9 costs no answer that had ended",
        "callers see a failure only where every offer has failed",
    ],
)
def test_the_short_form_holds(arguments: tuple[str, ...]) -> None:
    run(*arguments)


def test_the_table_of_the_bench_is_whole(tmp_path: Path) -> None:
    run("bench", "--quick", "--out", str(tmp_path))
    (table,) = tmp_path.glob("*.md")
    assert "CPU µs / request" in table.read_text()
    assert "| CPU µs a request of 4 KB (bar 400) | chat | responses | messages | gemini |" in table.read_text()
    assert list(tmp_path.glob("*.json"))
    assert list(tmp_path.glob("*.svg"))
