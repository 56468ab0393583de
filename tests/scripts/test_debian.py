"""Installing Debian's programs for the checks, with an apt-get that only writes down how it was called."""

from pathlib import Path
from types import ModuleType

import pytest

from scripts import debian as script


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, on a system with two programs to know of: `sh`, and `absent`, which comes when its package is installed."""
    marker = tmp_path / "absent"
    monkeypatch.setattr(script, "NEEDS", {"sh": (("sh",), ("dash",)), "absent": ((str(marker),), ("absent", "fonts"))})
    monkeypatch.setattr(script, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(script.os, "geteuid", lambda: 0)
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text(
        f'#!/bin/sh\n[ -x {tmp_path}/policy-rc.d ] || exit 7\necho "$DEBIAN_FRONTEND $*" >> {tmp_path}/calls\n'
        f"case $1 in install) touch {marker};; esac\n"
    )
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apt.parent}:/usr/bin:/bin")
    return script


def calls(folder: Path) -> list[str]:
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_what_is_there_is_left_alone(debian: ModuleType, tmp_path: Path) -> None:
    assert debian.main(["sh"]) == 0
    assert calls(tmp_path) == []


def test_root_installs_what_is_missing_once_and_starts_no_service(debian: ModuleType, tmp_path: Path) -> None:
    assert [debian.main(["sh", "absent"]), debian.main(["sh", "absent"])] == [0, 0]
    update, install = calls(tmp_path)
    assert update.startswith("noninteractive update")
    assert install.startswith("noninteractive install -y")
    assert install.endswith(" absent fonts")
    assert "--no-install-recommends" in install
    assert not (tmp_path / "policy-rc.d").exists()


def test_anyone_else_is_told_what_is_missing(debian: ModuleType, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(debian.os, "geteuid", lambda: 1000)
    assert debian.main(["sh", "absent"]) == 1
    assert "apt-get install absent fonts" in capsys.readouterr().err
    assert calls(tmp_path) == []


def test_apt_get_in_trouble_is_heard(debian: ModuleType, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "bin" / "apt-get").write_text("#!/bin/sh\necho no space left\nexit 100\n")
    assert debian.main(["absent"]) == 100


@pytest.mark.parametrize("names", [[], ["emacs"]])
def test_an_unknown_program_is_refused(debian: ModuleType, names: list[str]) -> None:
    assert debian.main(names) == 2
