"""The console process: `python -m trunkline.web.process --uds PATH [--config FILE]`, started and watched by `trunkline
serve`.

In: the file and the path of its socket. Out: the console's app on that socket, until SIGTERM; SIGHUP takes the file
over anew.
A process of its own, because a page's milliseconds of Python would delay the data plane's streams.
"""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import uvicorn

from trunkline.api.management.console import Console
from trunkline.cli.lifeline import end_with_parent
from trunkline.cli.logs import make_logger
from trunkline.errors import ConfigError, StoreAway, StoreError, TrunklineError
from trunkline.settings import Settings, load_settings
from trunkline.web.alerting import keep_house
from trunkline.web.app import make_app
from trunkline.web.warming import keep_warm

FOLLOW_S = 1.0


class Server(uvicorn.Server):
    """Says when it listens. The signals are left to the process: uvicorn's own handling would end it by the signal."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


@click.command()
@click.option("--uds", type=click.Path(path_type=Path), required=True, help="Path of the unix socket to serve on.")
@click.option("--config", type=click.Path(path_type=Path), help="Configuration file.")
def main(uds: Path, config: Path | None) -> None:
    """Serve management API and pages on a unix socket."""
    log = make_logger(sys.stderr, "console")
    end_with_parent()
    try:
        asyncio.run(_serve(load_settings(config), uds, log))
    except TrunklineError as error:
        log.error("cannot run", error=str(error))
        sys.exit(2 if isinstance(error, ConfigError) else 1)


async def _serve(settings: Settings, uds: Path, log: Any) -> None:
    console = await _opened(settings)
    try:
        await _run(console, uds, log)
    finally:
        await console.close()


async def _opened(settings: Settings) -> Console:
    """Once the store is there."""
    while True:
        try:
            return await Console.open(settings)
        except StoreAway:
            await asyncio.sleep(FOLLOW_S)


async def _run(console: Console, uds: Path, log: Any) -> None:
    app = make_app(console)
    config = uvicorn.Config(
        app,
        uds=str(uds),
        log_config=None,
        access_log=False,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    server = Server(config, lambda: log.info("ready", uds=str(uds)))
    loop = asyncio.get_running_loop()
    following = loop.create_task(_follow(console, log))
    beside = {following, loop.create_task(keep_house(console, log)), loop.create_task(keep_warm(app, log))}
    reloads: set[asyncio.Task[None]] = set()

    def stop() -> None:
        server.should_exit = True

    def reload() -> None:
        task = loop.create_task(_reload(console, log))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number, act in ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, reload)):
        loop.add_signal_handler(number, act)
    try:
        await server.serve()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)


async def _follow(console: Console, log: Any) -> None:
    """Take over what other consoles and the command line change in the store, until cancelled. While it cannot be read, the state stays."""
    told: list[str] = []
    while True:
        if console.unusable != told:
            told = console.unusable
            for fault in told:
                log.error("a stored key is of no use", error=fault)
        await asyncio.sleep(FOLLOW_S)
        with contextlib.suppress(StoreError):
            await console.follow()


async def _reload(console: Console, log: Any) -> None:
    try:
        await console.reload()
    except TrunklineError as error:
        log.error("reload refused, the old configuration stays", error=str(error))
        return
    log.info("reloaded", catalog=console.catalog.version)


if __name__ == "__main__":
    main()
