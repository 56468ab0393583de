"""`trunkline`: the command line's frame. A command's module is imported only when that command is called, so that help
comes at once.

In: the arguments. Out: the exit code: 0 done, 1 failed, 2 wrong arguments or configuration (one red line, no
traceback).
"""

import importlib
import sys
from collections.abc import Mapping
from types import MappingProxyType

import click

from trunkline import __version__
from trunkline.errors import ConfigError, TrunklineError

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "run": ("trunkline.cli.run:run", "For newcomers: local model, key, gateway, a line to paste."),
        "serve": ("trunkline.cli.serve:serve", "Run the gateway; fetches nothing, prints no key."),
        "demo": ("trunkline.cli.demo:demo", "Run the gateway over simulated providers, with some traffic."),
        "reload": ("trunkline.cli.reload:reload", "Take a changed file over into the running gateway."),
        "restart": ("trunkline.cli.restart:restart", "Put new processes in the place of the running gateway's."),
        "doctor": ("trunkline.cli.doctor:doctor", "Check configuration, store, weights, keys and ports."),
        "migrate": ("trunkline.cli.migrate:migrate", "Bring the store to this version's schema."),
        "figures": ("trunkline.cli.figures:figures", "Make the figures anew from the records."),
        "keys": ("trunkline.cli.keys:keys", "Make, list, change, rotate and revoke API keys."),
        "budgets": ("trunkline.cli.budgets:budgets", "The most that may be spent: set, list, change, end."),
        "credentials": ("trunkline.cli.credentials:credentials", "Keys of providers in the store: add, list, revoke."),
        "members": ("trunkline.cli.members:members", "Who may sign in: invite, list, change, disable."),
        "organisations": ("trunkline.cli.organisations:organisations", "Make, list and rename organisations."),
        "projects": ("trunkline.cli.projects:projects", "Make, list, rename and archive projects."),
        "audit": ("trunkline.cli.audit:audit", "Who did what."),
        "credits": ("trunkline.cli.credits:credits", "Put money in, put it right, see what is left."),
        "ledger": ("trunkline.cli.ledger:ledger", "The ledger behind credits; check that it adds up."),
        "export": ("trunkline.cli.export:export", "Write records to CSV, JSON lines or Parquet."),
        "reconcile": ("trunkline.cli.reconcile:reconcile", "Compare a provider's usage export with the records."),
        "backup": ("trunkline.cli.backup:backup", "Copy the store into a file, while it is in use."),
        "restore": ("trunkline.cli.backup:restore", "Put such a copy in the place of the store."),
        "erase": ("trunkline.cli.erase:erase", "Take out what tells who a member or an end user was."),
        "import": ("trunkline.cli.import_:import_", "Take over another gateway's configuration."),
        "catalog": ("trunkline.cli.catalog:catalog", "Check, build, compare and explain the catalog."),
        "models": ("trunkline.cli.models:models", "Pull, import, list and remove local models."),
        "explain": ("trunkline.cli.explain:explain", "Say where a request would go, and why; calls nobody."),
        "detect": ("trunkline.cli.detect:detect", "Look for model servers on this machine."),
        "simulate": ("trunkline.cli.simulate:simulate", "Serve simulated providers for tests and demos."),
    }
)
"""Command -> where it is, and the line that `--help` shows for it."""


class LazyGroup(click.Group):
    """A group whose commands are imported when called. Lives as long as the process."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trunkline")
def cli() -> None:
    """Trunkline: one address and one key for every large language model."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command and end the process with its exit code."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None) -> int:
    """Run a command; its exit code."""
    try:
        code = cli.main(args=arguments, prog_name="trunkline", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except ConfigError as error:
        return _failed(error, 2)
    except TrunklineError as error:
        return _failed(error, 1)
    return code if isinstance(code, int) else 0


def _failed(error: TrunklineError, code: int) -> int:
    click.secho(f"trunkline: {error}", fg="red", err=True)
    return code


if __name__ == "__main__":
    main()
