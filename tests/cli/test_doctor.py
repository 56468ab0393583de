"""`trunkline doctor`: good is 0, bad is 1, wrong configuration is 2; and it changes nothing."""

import os
import socket

import pytest

QUIET = "[embedded]\nenabled = false\n[detect]\nlocal_servers = false\n"


@pytest.fixture
def doctor(trunkline, tmp_path):
    def doctor(text: str = QUIET, **env: str) -> tuple[int, str]:
        (tmp_path / "t.toml").write_text(text)
        # Wide, so that rows do not wrap.
        examined = trunkline("doctor", "--config", "t.toml", COLUMNS="200", **env)
        return examined.end(), "\n".join(examined.said)

    return doctor


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def test_a_fresh_folder_is_good_and_stays_as_it_was(doctor, free_port, tmp_path):
    code, said = doctor(f"[server]\nport = {free_port}\n{QUIET}", GROQ_API_KEY="k")
    assert code == 0
    assert "not there yet; the first start makes it" in said
    assert "set ANTHROPIC_API_KEY" in said
    assert "a key was found; api.groq.com" in said
    assert os.listdir(tmp_path) == ["t.toml"]


def test_a_port_that_is_taken_is_bad(doctor):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = doctor(f"[server]\nport = {taken.getsockname()[1]}\n{QUIET}")
    assert code == 1
    assert "is in use by another program" in said


def test_an_open_secrets_file_is_bad(doctor, free_port, tmp_path):
    (tmp_path / "trunkline.db.secrets").write_text("{}")
    (tmp_path / "trunkline.db.secrets").chmod(0o644)
    code, said = doctor(f"[server]\nport = {free_port}\n{QUIET}")
    assert code == 1
    assert "run: chmod 600" in said


def test_a_store_that_is_none_is_bad(doctor, free_port, tmp_path):
    (tmp_path / "trunkline.db").write_text("not a database, and long enough to be looked at" * 10)
    code, said = doctor(f"[server]\nport = {free_port}\n{QUIET}")
    assert code == 1
    assert "file is not a database" in said


def test_a_wrong_file_is_told(doctor):
    assert doctor("[sever]\nport = 1")[0] == 2
