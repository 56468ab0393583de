import subprocess
import sys
from pathlib import Path

from tests.fakes.records import count
from trunkline.storage.migrate import upgrade

ROOT = Path(__file__).parents[2]


def test_a_disk_that_is_full_for_a_while_loses_nothing(tmp_path):
    path = tmp_path / "trunkline.db"
    upgrade(f"sqlite:///{path}")
    argv = [sys.executable, "-m", "tests.crash.filling_process", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=True, timeout=60)
    assert "disk" in done.stdout
    assert count(path, "records") == 500
    assert count(path, "attempts") == 1000
