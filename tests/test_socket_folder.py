import shutil
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from trunkline.cli.lifeline import Place
from trunkline.errors import ConfigError
from trunkline.socket_folder import SHORT, make_socket_folder


@pytest.fixture
def deep(tmp_path, monkeypatch):
    folder = tmp_path / ("d" * 100)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_socket_fits_however_long_the_path_for_temporary_files_is(deep):
    folder = make_socket_folder("trunkline-")
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / Place(folder, "99").own.name))
        assert folder.parent == SHORT
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(folder)


def test_a_short_path_for_temporary_files_is_used(monkeypatch):
    with tempfile.TemporaryDirectory(dir=SHORT) as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        assert make_socket_folder("trunkline-").parent == Path(short)


def test_a_folder_that_cannot_be_made_is_told(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/proc/none")
    with pytest.raises(ConfigError, match="name a short one"):
        make_socket_folder("trunkline-")
