"""Log lines: several processes write to one stream, so each must come in one piece."""

import io
import json

from trunkline.cli.logs import make_logger


class Pieces(io.StringIO):
    """A stream that keeps each write apart, as another process could come between any two."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return len(text)


def test_a_line_is_written_with_its_end_in_one_piece():
    stream = Pieces()
    make_logger(stream, "data plane").info("ready", child="console")
    (line,) = stream.pieces
    assert line.endswith("\n")
    assert json.loads(line) | {"timestamp": ""} == {
        "child": "console",
        "event": "ready",
        "level": "info",
        "process": "data plane",
        "timestamp": "",
    }
