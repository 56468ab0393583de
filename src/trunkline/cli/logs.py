"""Log lines on stderr: for people on a terminal, JSON otherwise.

In: the stream and the name of the process. Out: a structlog logger, without global set-up.
"""

from functools import cached_property
from typing import Any, TextIO


def make_logger(stream: TextIO, process: str) -> Any:
    """A logger that binds `process` to each line. Any: no narrower type has all methods of structlog's bound
    loggers."""
    return _WhenFirstUsed(stream, process)


class _WhenFirstUsed:
    """Makes the logger at its first line: structlog takes 0.2 s to import, and at a start others wait for that."""

    def __init__(self, stream: TextIO, process: str) -> None:
        self._stream = stream
        self._process = process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    @cached_property
    def _logger(self) -> Any:
        import structlog

        people = self._stream.isatty()
        renderer = structlog.dev.ConsoleRenderer(colors=True) if people else structlog.processors.JSONRenderer()
        processors: list[Any] = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if people else "iso", utc=not people),
            structlog.processors.format_exc_info,
            renderer,
        ]
        # A line in one write: several processes share this stream, and an end of line that is written apart may find
        # another's line before it.
        return structlog.wrap_logger(structlog.WriteLogger(self._stream), processors=processors, process=self._process)
