"""Runs the simulated providers on uvicorn with httptools and uvloop.

In: a bound socket and the config. ASGI has no way to reset a connection, so `LendingProtocol` puts the connection's
transport into each request's scope, as the extension that `peer.py` looks for; this is all that ties us to uvicorn.
"""

import socket
import time
from random import Random

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from trunkline.simulate.app import make_app
from trunkline.simulate.config import SimulationConfig
from trunkline.simulate.peer import EXTENSION

BACKLOG = 2_048


class LendingProtocol(HttpToolsProtocol):
    """Uvicorn's own protocol, with the transport lent to the app."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self.transport}  # type: ignore[dict-item]


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on; port 0 is a free one. Raises OSError where the port is in use."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def make_server(config: SimulationConfig) -> uvicorn.Server:
    """A server that is started with `run(sockets=[listener])` and ended by setting `should_exit`."""
    app = make_app(config, time.time, Random(config.seed))  # noqa: S311  Draws of a simulation, not secrets.
    settings = uvicorn.Config(
        app,
        http=LendingProtocol,
        loop="uvloop",
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        log_level="critical",
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
        backlog=BACKLOG,
    )
    return uvicorn.Server(settings)
