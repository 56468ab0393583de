"""`trunkline members`, `projects` and `audit`; and the link that `serve` prints to a terminal."""

import json
import os
import pty
import re
import signal
import subprocess
import sys

import pytest

from trunkline.cli.main import run


@pytest.fixture
def config(tmp_path, monkeypatch):
    file = tmp_path / "t.toml"
    file.write_text(
        f'[store]\nurl = "sqlite:///{tmp_path}/trunkline.db"\n[embedded]\nenabled = false\n[detect]\nlocal_servers = false\n'
    )
    monkeypatch.setenv("TRUNKLINE_CONFIG", str(file))
    return file


@pytest.fixture
def said(config, capsys):
    """What a command prints as JSON, or its exit code where it is not 0."""

    def call(*words):
        code = run(list(words))
        out = capsys.readouterr().out
        return code or [json.loads(line) for line in out.splitlines() if line.startswith(("{", "["))]

    return call


def test_a_member_is_invited_changed_disabled_and_let_in_again(said):
    (made,) = said("members", "invite", "Alice@example.com", "--role", "admin", "--name", "Alice", "--json")
    assert made["link"].startswith("http://127.0.0.1:8080/sign-in/join?token=")
    assert (made["member"]["email"], made["member"]["state"]) == ("alice@example.com", "invited")
    (changed,) = said("members", "role", "alice@example.com", "member", "--json")
    assert changed["role"] == "member"
    (ended,) = said("members", "disable", made["member"]["id"], "--json")
    assert ended["state"] == "disabled"
    assert said("members", "password-link", "alice@example.com") == 1
    (back,) = said("members", "enable", "alice@example.com", "--json")
    assert back["state"] == "invited"
    ((listed,),) = said("members", "list", "--json")
    assert listed == back
    assert [act["action"] for act in said("audit", "--json")] == [
        "member.enable", "member.disable", "member.change", "link.join", "member.invite",
    ]  # fmt: skip
    assert {act["address"] for act in said("audit", "--json")} == {"command line"}
    assert [act["action"] for act in said("audit", "--action", "link", "--json")] == ["link.join"]


@pytest.mark.parametrize(
    "words", [("invite", "nobody"), ("role", "none@example.com", "admin"), ("disable", "mem_none")]
)
def test_what_cannot_be_done_ends_with_words(said, words):
    assert said("members", *words) in (1, 2)


def test_a_project_is_made_renamed_and_archived(said):
    (made,) = said("projects", "create", "search", "--json")
    assert said("projects", "create", "Search") == 1
    (renamed,) = said("projects", "rename", made["id"], "find", "--json")
    assert renamed["name"] == "find"
    said("projects", "archive", made["id"])
    assert said("projects", "list", "--json") == [[]]
    ((archived,),) = said("projects", "list", "--archived", "--json")
    assert archived["id"] == made["id"]
    (restored,) = said("projects", "restore", made["id"], "--json")
    assert restored["archived_ms"] is None


def test_serve_prints_the_first_link_to_a_terminal_and_to_nothing_else(config):
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "trunkline.cli.main", "serve", "--port", "0"]
    env = {**os.environ, "HOME": str(config.parent)}
    process = subprocess.Popen(argv, stdout=theirs, stderr=subprocess.PIPE, env=env, text=True)
    os.close(theirs)
    shown = b""
    while b"token=" not in shown or not shown.endswith(b"\n"):
        shown += os.read(ours, 4096)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=30)
    os.close(ours)
    token = re.search(rb"/sign-in/first\?token=([\w-]{40,})", shown)[1].decode()
    assert token not in log
    assert process.returncode == 0


def test_serve_prints_no_link_to_a_pipe(config):
    argv = [sys.executable, "-m", "trunkline.cli.main", "serve", "--port", "0"]
    env = {**os.environ, "HOME": str(config.parent)}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, text=True) as process:
        assert "is ready at" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == ""


def test_an_organisation_is_made_renamed_and_pays_beforehand(said, capsys):
    (made,) = said("organisations", "create", "acme", "--json")
    assert (made["name"], made["prepaid"]) == ("acme", False)
    (renamed,) = said("organisations", "rename", made["id"], "acme labs", "--json")
    (prepaid,) = said("organisations", "prepaid", made["id"], "on", "--json")
    assert (renamed["name"], prepaid["prepaid"]) == ("acme labs", True)
    (listed,) = said("organisations", "list", "--json")
    found = {one["id"]: one for one in listed}
    assert (set(found), found[made["id"]]) == ({"org_default", made["id"]}, prepaid)
    assert run(["organisations", "list"]) == 0
    assert "acme labs" in capsys.readouterr().out
    assert [act["action"] for act in said("audit", "--action", "organisation", "--json")] == [
        "organisation.change", "organisation.change", "organisation.create",
    ]  # fmt: skip


@pytest.mark.parametrize("words", [("rename", "org_none", "acme"), ("prepaid", "org_none", "on"), ("create", "  ")])
def test_an_organisation_command_that_cannot_be_done_says_so(said, words):
    assert said("organisations", *words) in (1, 2)
