"""The command line's frame: help, unknown commands, and that nothing is imported before it is needed."""

import pytest

from trunkline.cli.main import COMMANDS, cli, run


def test_help_names_every_command_and_imports_none(program):
    listed = program("-X", "importtime", "-m", "trunkline.cli.main", "--help")
    assert listed.end() == 0
    said = "\n".join(listed.said)
    assert all(f"\n  {name} " in said for name in COMMANDS)
    assert not any(heavy in said for heavy in ("pydantic", "rich", "sqlalchemy", "trunkline.settings"))


def test_the_version_is_shown(trunkline):
    shown = trunkline("--version")
    assert shown.end() == 0
    assert shown.said[0].startswith("trunkline, version ")


def test_an_unknown_command_is_an_error_with_code_2(trunkline):
    refused = trunkline("sevre")
    assert refused.end() == 2
    assert "No such command 'sevre'" in "\n".join(refused.said)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(name, capsys):
    context = cli.make_context("trunkline", [name, "--help"])
    command = cli.get_command(context, name)
    assert command is not None
    assert run([name, "--help"]) == 0
    assert "Usage: trunkline" in capsys.readouterr().out
