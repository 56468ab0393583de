import os
import subprocess
import sys
from pathlib import Path

import pytest

from trunkline.accounts.secrets_file import load_or_make
from trunkline.errors import ConfigError


def test_it_is_made_once_and_then_read(tmp_path: Path):
    made = load_or_make(tmp_path / "t.secrets")
    assert len(made.pepper) == 32
    assert made.master_key.startswith("sk-tl-")
    assert load_or_make(tmp_path / "t.secrets") == made


def test_only_its_owner_may_read_it_and_nothing_else_is_left(tmp_path: Path):
    load_or_make(tmp_path / "t.secrets")
    assert (tmp_path / "t.secrets").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["t.secrets"]


def test_secrets_are_in_no_repr(tmp_path: Path):
    made = load_or_make(tmp_path / "t.secrets")
    assert made.master_key not in repr(made)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_open_to_others_is_refused_with_the_mend(tmp_path: Path, mode):
    path = tmp_path / "t.secrets"
    load_or_make(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        load_or_make(path)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"pepper": "?", "master_key": "sk-tl-leaked"}', b"\xff"])
def test_a_broken_file_is_refused_without_quoting_it_and_is_left_alone(tmp_path: Path, content):
    path = tmp_path / "t.secrets"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="restore it from a backup") as caught:
        load_or_make(path)
    assert "leaked" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_short_pepper_is_refused(tmp_path: Path):
    path = tmp_path / "t.secrets"
    path.write_text('{"pepper": "YQ==", "master_key": "sk-tl-x"}')
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="incomplete"):
        load_or_make(path)


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="the folder must exist"):
        load_or_make(tmp_path / "nowhere" / "t.secrets")


def test_a_file_made_by_another_process_in_between_wins(tmp_path: Path):
    path = tmp_path / "t.secrets"
    first = []

    def random_bytes(count: int) -> bytes:
        # Called while the second maker prepares its content: the first one is quicker.
        if not first:
            first.append(None)
            first[0] = load_or_make(path)
        return b"x" * count

    assert load_or_make(path, random_bytes) == first[0]


def test_processes_that_start_at_once_get_the_same(tmp_path: Path):
    program = (
        "import sys, pathlib; from trunkline.accounts.secrets_file import load_or_make; sys.stdin.read();"
        "print(load_or_make(pathlib.Path(sys.argv[1])).master_key)"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "t.secrets")]
    processes = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        process.stdin.close()
        process.stdin = None
    assert len({process.communicate()[0] for process in processes}) == 1
