"""Pages over the console's real socket."""

from tests.fakes.console import client, console

__all__ = ["client", "console"]
