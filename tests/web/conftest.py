"""Pages over the console's real socket, and over a whole gateway."""

from tests.fakes.console import client, console
from tests.fakes.operating import live, operator, stranger
from tests.fakes.simulated import simulated_server

__all__ = ["client", "console", "live", "operator", "simulated_server", "stranger"]
