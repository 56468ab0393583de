"""The gateway over simulated and scripted providers of all four protocols."""

from tests.fakes.four import four
from tests.fakes.simulated import simulated_server
from tests.fakes.upstream import upstream

__all__ = ["four", "simulated_server", "upstream"]
