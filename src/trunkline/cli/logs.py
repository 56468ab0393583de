"""Log lines on stderr: for people on a terminal, JSON otherwise. In: the stream and a name. Out: a structlog logger. No
global set-up."""

from typing import Any, TextIO

import structlog


def make_logger(stream: TextIO, process: str) -> Any:
    """A logger that binds `process` to each line. Any: structlog's bound loggers have no narrower type that all its
    methods are on."""
    people = stream.isatty()
    renderer = structlog.dev.ConsoleRenderer(colors=True) if people else structlog.processors.JSONRenderer()
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if people else "iso", utc=not people),
        structlog.processors.format_exc_info,
        renderer,
    ]
    return structlog.wrap_logger(structlog.PrintLogger(stream), processors=processors, process=process)
