"""`trunkline run` (`make run`): a gateway for newcomers, with a local model and a key that ends with the run.

In: nothing that must be set. Out: `serve` as a child; when it answers, the address, the key, lines to paste, and what
was found and what
not and why. Ctrl-C stops all and revokes the key.
"""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
from rich.console import Console as Terminal
from rich.table import Table
from rich.text import Text

from trunkline.accounts import secrets_file
from trunkline.accounts.keys import IssuedKey, issue_key
from trunkline.cli.findings import Findings, look
from trunkline.cli.models import Bar
from trunkline.cli.serve import ServeError, answers, bound_socket
from trunkline.cli.supervisor import tie_to
from trunkline.embedded import machine
from trunkline.embedded.errors import WeightsError
from trunkline.embedded.manifest import DEFAULT_MODEL
from trunkline.embedded.sources import default_sources
from trunkline.embedded.weights import pull
from trunkline.settings import Settings, load_settings, with_address
from trunkline.storage import migrate
from trunkline.storage.queries import Store

KEY_NAME = "trunkline run (ends with it)"
KEY_DAYS = 7
"""Should the run be killed, its key ends then at the latest; the next run revokes it."""
READY_WITHIN_S = 60.0
POLL_S = 0.05
QUESTION = "What is the capital of France? Answer in one sentence."


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help="Configuration file [default: ./trunkline.toml, if there]."
)
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on, instead of [server] port.")
@click.option("--no-pull", is_flag=True, help="Do not fetch the local model's weights.")
def run(config: Path | None, port: int | None, no_pull: bool) -> int:
    """Start the gateway with a local model and a key for this run."""
    settings = with_address(load_settings(config), port=port)
    # Before a download of minutes: whether the port can be had at all.
    with bound_socket(settings) as probe:
        settings = with_address(settings, port=probe.getsockname()[1])
    terminal = Terminal()
    if settings.embedded.enabled and not no_pull:
        _have_weights(settings, terminal)
    if not migrate.is_current(settings.store.url):
        migrate.upgrade(settings.store.url)
    issued = asyncio.run(_make_key(settings))
    try:
        return _serve(settings, issued, terminal)
    finally:
        asyncio.run(_revoke(settings, [issued.key.id]))


def _have_weights(settings: Settings, terminal: Terminal) -> None:
    """Fetch the default local model, where it can run and is not here. A failure is told, and is no reason not to
    start."""
    reasons = machine.runtime_reasons()
    if reasons:
        terminal.print(Text(f"No local model: {'; '.join(reasons)}", "yellow"), soft_wrap=True)
        return
    try:
        with Bar(DEFAULT_MODEL) as bar:
            pull(DEFAULT_MODEL, settings.cache_dir, default_sources(settings.env), bar)
    except WeightsError as error:
        terminal.print(Text(f"No local model: {error}", "yellow"), soft_wrap=True)
        terminal.print("Starting without it.")


async def _make_key(settings: Settings) -> IssuedKey:
    now_ms = int(time.time() * 1000)
    pepper = secrets_file.load_or_make(settings.secrets_path).pepper
    expires_ms = now_ms + KEY_DAYS * 24 * 3_600_000
    issued = issue_key(KEY_NAME, pepper, secrets.token_bytes, now_ms=now_ms, expires_ms=expires_ms)
    async with await Store.open(settings.store.url) as store:
        await store.create_key(issued.key)
    return issued


async def _revoke(settings: Settings, ids: list[str]) -> None:
    async with await Store.open(settings.store.url) as store:
        for id_ in ids:
            await store.revoke_key(id_, now_ms=int(time.time() * 1000))


async def _revoke_leftovers(settings: Settings, own_id: str) -> None:
    """Keys of runs that were killed. Called when our `serve` holds the store, so that no other run does."""
    async with await Store.open(settings.store.url) as store:
        keys = await store.list_keys()
    left = [key.id for key in keys if key.name == KEY_NAME and key.revoked_ms is None and key.id != own_id]
    await _revoke(settings, left)


def _serve(settings: Settings, issued: IssuedKey, terminal: Terminal) -> int:
    """Run `serve` to its end; say how to use it when it answers."""
    config = ["--config", str(settings.path)] if settings.path else []
    address = ["--host", settings.server.host, "--port", str(settings.server.port)]
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-m", "trunkline.cli.main", "serve", *config, *address],
        stdout=subprocess.DEVNULL,
        env=dict(settings.env),
        start_new_session=True,
        preexec_fn=tie_to(os.getpid()),
    )
    before = {
        number: signal.signal(number, lambda *_: child.send_signal(signal.SIGTERM))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        if _wait_ready(settings, child):
            asyncio.run(_revoke_leftovers(settings, issued.key.id))
            _welcome(settings, issued.secret, asyncio.run(look(settings)), terminal)
        return child.wait()
    finally:
        # Ended already, but where waiting for it failed.
        child.terminate()
        child.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_ready(settings: Settings, child: "subprocess.Popen[bytes]") -> bool:
    """Whether gateway and pages answer; False when the child ended first."""
    until_s = time.monotonic() + READY_WITHIN_S
    while child.poll() is None:
        if answers(settings, "/readyz") and answers(settings, "/api/v1/management/openapi.json"):
            return True
        if time.monotonic() > until_s:
            raise ServeError(f"the gateway did not answer within {READY_WITHIN_S:.0f} s; its lines above say why")
        time.sleep(POLL_S)
    return False


def _welcome(settings: Settings, secret: str, findings: Findings, terminal: Terminal) -> None:
    terminal.print(findings_table(findings))
    base_url = f"{settings.address}/api/v1"
    # Plain echo for what is to be copied: no wrapping, no markup.
    click.echo(f"\nAddress  {base_url}\nPages    {settings.address}/\nKey      {secret}   (for this run)\n")
    if not findings.callable_models:
        click.echo(
            "No model can be called yet: set a provider's key (see above) and start again, or fetch a local model:"
        )
        click.echo("  trunkline models pull")
        return
    model = _best(findings.callable_models)
    click.echo(f"Try it:\n\n{curl_line(base_url, secret, model)}\n")
    click.echo(
        f"The same with the openai package:\n\n{python_lines(base_url, secret, model)}\n\nCtrl-C stops the gateway."
    )


def _best(models: list[str]) -> str:
    """The model to show: one that answers at once and for nothing, if there is one."""
    return next((model for model in models if model == f"local/{DEFAULT_MODEL}"), models[0])


def curl_line(base_url: str, secret: str, model: str) -> str:
    """One line to paste into a shell."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": QUESTION}]})
    return (
        f"curl {base_url}/chat/completions -H 'Authorization: Bearer {secret}' "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )


def python_lines(base_url: str, secret: str, model: str) -> str:
    """The example that people know from hosted gateways, with this address and key."""
    return (
        "from openai import OpenAI\n"
        f'client = OpenAI(base_url="{base_url}", api_key="{secret}")\n'
        f'completion = client.chat.completions.create(model="{model}", messages=[\n'
        f'    {{"role": "user", "content": [{{"type": "text", "text": "{QUESTION}"}}]}}])\n'
        "print(completion.choices[0].message.content)"
    )


def findings_table(findings: Findings) -> Table:
    """What was found, and what was not and why."""
    table = Table(title="What can be called", title_justify="left", box=None, header_style="dim")
    for column in ("", "Source", "State"):
        table.add_column(column)
    for row in findings.rows:
        mark, style = ("●", "green") if row.found else ("○", "dim")
        table.add_row(Text(mark, style), Text(row.name), Text(row.text, "" if row.found else "dim"))
    return table
