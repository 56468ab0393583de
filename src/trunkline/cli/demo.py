"""`trunkline demo`: the whole gateway over simulated providers, with some traffic, until Ctrl-C.

In: a port and a speed. Out: address, key and lines to paste on standard output. Everything it writes is in a folder of its
own that goes with it; it takes no provider's key from the environment and calls nobody outside this machine.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from random import Random

import click

from trunkline.accounts import secrets_file
from trunkline.accounts.keys import IssuedKey, issue_key
from trunkline.catalog.load import shipped_catalog
from trunkline.cli.serve import ServeError, answers
from trunkline.cli.supervisor import tie_to
from trunkline.settings import Settings, load_settings
from trunkline.simulate.server import listen
from trunkline.simulate.showcase import KEY_NAMES, MODEL, PAST_RECORDS, gateway_file, past, simulation_file
from trunkline.simulate.traffic import Tally, trickle
from trunkline.snapshot import build
from trunkline.storage import migrate
from trunkline.storage.backfill import backfill
from trunkline.storage.queries import Store

READY_WITHIN_S = 60.0
POLL_S = 0.05
TALLY_EVERY_S = 1.0
STOP_WITHIN_S = 15.0
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "TERM", "NO_COLOR")
"""Variables that the gateway gets; no key, no proxy, and none of our own that would win over the demo's file."""

Process = asyncio.subprocess.Process


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True, help="0 takes a free one.")
@click.option(
    "--speed", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True, help="Divides all waiting."
)
@click.option("--streams", type=click.IntRange(0, 20), default=3, show_default=True, help="Requests at a time.")
def demo(port: int, speed: float, streams: int) -> int:
    """Run the gateway over simulated OpenAI and Azure offers of one model, with some traffic of its own."""
    with tempfile.TemporaryDirectory(prefix="trunkline-demo-") as folder, contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(run_demo(Path(folder), port or free_port(), speed, streams))
    return 0


def free_port() -> int:
    with listen("127.0.0.1", 0) as listener:
        port: int = listener.getsockname()[1]
    return port


async def run_demo(folder: Path, port: int, speed: float, streams: int) -> int:
    """Simulator, gateway, key, welcome, traffic; what was started is stopped in the opposite order."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with simulator(folder, speed) as (simulated, address):
        path = folder / "trunkline.toml"
        path.write_text(gateway_file(port, address, folder, shipped_catalog()))
        settings = gateway_settings(path)
        issued = await make_past(settings)
        async with child(settings.env, subprocess.DEVNULL, "serve", "--config", str(path)) as gateway:
            if not await ready(settings, gateway, stop):
                return gateway.returncode or 0
            welcome(settings, issued.secret, speed)
            await keep_going(port, issued.secret, streams, speed, stop, [simulated, gateway])
            return 0 if stop.is_set() else 1


def gateway_settings(path: Path) -> Settings:
    """The demo's own file, read with an environment in which nothing else of the machine's is set."""
    env = load_settings(path).env
    return load_settings(path, {name: env[name] for name in PASSED_ON if name in env})


@contextlib.asynccontextmanager
async def simulator(folder: Path, speed: float) -> AsyncIterator[tuple[Process, str]]:
    """The simulated providers, and their address, without a path."""
    path = folder / "simulate.json"
    path.write_bytes(simulation_file(speed))
    async with child(None, subprocess.PIPE, "simulate", "--port", "0", "--config", str(path)) as process:
        assert process.stdout is not None
        told = (await process.stdout.readline()).decode()
        address = next((word for word in told.split() if word.startswith("http://")), None)
        if address is None:
            raise ServeError("the simulated providers did not start; their own lines above say why")
        yield process, address


@contextlib.asynccontextmanager
async def child(env: Mapping[str, str] | None, stdout: int, *arguments: str) -> AsyncIterator[Process]:
    """A `trunkline` command as a child that does not outlive this process; asked to stop at the end, then killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "trunkline.cli.main", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        env=env,
        start_new_session=True,
        preexec_fn=tie_to(os.getpid()),
    )
    try:
        yield process
    finally:
        await stopped(process)


async def stopped(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_WITHIN_S)
    except TimeoutError:
        process.kill()
        await process.wait()


async def ready(settings: Settings, gateway: Process, stop: asyncio.Event) -> bool:
    """True when gateway and pages answer; False when the gateway ended first, or the demo was stopped."""
    until_s = time.monotonic() + READY_WITHIN_S
    while gateway.returncode is None and not stop.is_set():
        if await asyncio.to_thread(answers, settings, "/readyz"):
            return True
        if time.monotonic() > until_s:
            raise ServeError(f"the gateway did not answer within {READY_WITHIN_S:.0f} s; its lines above say why")
        await asyncio.sleep(POLL_S)
    return False


async def make_past(settings: Settings) -> IssuedKey:
    """A store with keys as `trunkline keys create` makes them and ninety days of made-up traffic; the first key, for the reader. It ends with its folder."""
    migrate.upgrade(settings.store.url)
    pepper, now_ms = secrets_file.load_or_make(settings.secrets_path).pepper, time.time() * 1000
    issued = [issue_key(name, pepper, secrets.token_bytes, now_ms=int(now_ms)) for name in KEY_NAMES]
    async with await Store.open(settings.store.url) as store:
        for one in issued:
            await store.create_key(one.key)
    numbers = Random()  # noqa: S311  Traffic, not secrets.
    records = past(build(settings).catalog, now_ms, [one.key.id for one in issued], numbers)
    await asyncio.to_thread(backfill, settings.store.url, records, now_ms, PAST_RECORDS)
    return issued[0]


def welcome(settings: Settings, secret: str, speed: float) -> None:
    base_url = f"{settings.address}/api/v1"
    pace = "at the pace that was measured of the real ones: a first token can take minutes, --speed 20 is for the impatient"
    if speed != 1:
        pace = f"with all waiting divided by {speed:g}"
    click.echo(f"Both providers of {MODEL} are simulated, {pace}. No answer is a real model's.")
    click.echo("Figures and log begin with 90 days of made-up traffic, marked as simulated.\n")
    master_key = settings.auth.master_key or secrets_file.load_or_make(settings.secrets_path).master_key
    click.echo(f"Address  {base_url}\nPages    {settings.address}/\nKey      {secret}   (for this run)")
    click.echo(f"Sign in  {settings.address}/sign-in with {master_key}   (the same)\n")
    click.echo(f"{curl_line(base_url, secret)}\n\n{python_lines(base_url, secret)}\n\nCtrl-C ends it.")


def curl_line(base_url: str, secret: str) -> str:
    body = f'{{"model": "{MODEL}", "stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}'
    return (
        f"curl -N {base_url}/chat/completions -H 'Authorization: Bearer {secret}' "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )


def python_lines(base_url: str, secret: str) -> str:
    """The example of the model's page, with this address and key."""
    return f"""from openai import OpenAI

client = OpenAI(
  base_url="{base_url}",
  api_key="{secret}",
)

completion = client.chat.completions.create(
  model="{MODEL}",
  messages=[
    {{
      "role": "user",
      "content": [
        {{
          "type": "text",
          "text": "What is in this image?"
        }}
      ]
    }}
  ]
)
print(completion.choices[0].message.content)"""


async def keep_going(
    port: int, secret: str, streams: int, speed: float, stop: asyncio.Event, children: list[Process]
) -> None:
    """Traffic until the demo is stopped or one of its children ends; how it goes is told on a terminal's last line."""
    tally = Tally()
    traffic = asyncio.create_task(trickle(port, secret, streams, speed, Random(), tally))  # noqa: S311  Pauses, not secrets.
    told = asyncio.create_task(tell(tally))
    ends = [asyncio.create_task(process.wait()) for process in children]
    ends.append(asyncio.create_task(stop.wait()))
    try:
        await asyncio.wait([*ends, traffic], return_when=asyncio.FIRST_COMPLETED)
    finally:
        summary = tally.line()
        for task in (traffic, told, *ends):
            task.cancel()
        await asyncio.gather(traffic, told, *ends, return_exceptions=True)
    click.echo(f"\nThe demo's own traffic: {summary}.")


async def tell(tally: Tally) -> None:
    while sys.stdout.isatty():
        click.echo(f"\r{tally.line()}   ", nl=False)
        await asyncio.sleep(TALLY_EVERY_S)
