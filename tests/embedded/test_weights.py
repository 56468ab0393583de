"""The cache of weights: only the right bytes get a name, whoever brought them."""

import fcntl
import threading
from pathlib import Path

import pytest

from tests.embedded.conftest import CONTENT, SMALL, Heard, make_weights
from trunkline.embedded.errors import SourceFailed, WeightsError
from trunkline.embedded.manifest import DEFAULT_MODEL, Weights, load_manifest
from trunkline.embedded.weights import Progress, find, import_file, known, models_dir, pull, remove

TINY = make_weights()
MANIFEST = {"tiny": TINY}


class Gives:
    """A source that hands over what it was made with."""

    def __init__(self, content: bytes, name: str = "a source") -> None:
        self.name = name
        self.asked = 0
        self._content = content

    def fetch(self, weights: Weights, work: Path, progress: Progress) -> Path:
        self.asked += 1
        path = work / "given"
        path.write_bytes(self._content)
        return path


class Fails(Gives):
    def fetch(self, weights: Weights, work: Path, progress: Progress) -> Path:
        raise SourceFailed("not reachable")


def test_right_bytes_are_kept_under_their_hash(tmp_path: Path, heard: Heard) -> None:
    path = pull("tiny", tmp_path, [Gives(CONTENT)], heard, MANIFEST)
    assert path == tmp_path / "models" / f"{TINY.sha256}.gguf"
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o077 == 0


def test_the_licence_and_a_notice_lie_beside_the_file(tmp_path: Path, heard: Heard) -> None:
    pull("tiny", tmp_path, [Gives(CONTENT)], heard, MANIFEST)
    assert "Apache License" in (models_dir(tmp_path) / f"{TINY.sha256}.LICENSE.txt").read_text("utf-8")
    assert "acme/tiny" in (models_dir(tmp_path) / f"{TINY.sha256}.NOTICE.txt").read_text("utf-8")


def test_what_is_there_is_not_asked_for_again(tmp_path: Path, heard: Heard) -> None:
    source = Gives(CONTENT)
    pull("tiny", tmp_path, [source], heard, MANIFEST)
    pull("local/tiny", tmp_path, [source], heard, MANIFEST)
    assert source.asked == 1


def test_wrong_bytes_are_refused_and_deleted(tmp_path: Path, heard: Heard) -> None:
    with pytest.raises(WeightsError, match=r"has SHA-256 .*it was deleted.*trunkline models import FILE"):
        pull("tiny", tmp_path, [Gives(b"X" + CONTENT[1:])], heard, MANIFEST)
    assert find(TINY, tmp_path) is None
    assert not list(models_dir(tmp_path).rglob("given"))


def test_the_next_source_is_asked_when_one_fails(tmp_path: Path, heard: Heard) -> None:
    pull("tiny", tmp_path, [Fails(b"", "the first"), Gives(b"wrong", "the second"), Gives(CONTENT)], heard, MANIFEST)
    assert find(TINY, tmp_path)
    assert "the first: not reachable" in heard.notes


def test_an_error_names_every_source_and_the_next_step(tmp_path: Path, heard: Heard) -> None:
    with pytest.raises(WeightsError, match=r"the first: not reachable; the second: not reachable.*models import FILE"):
        pull("tiny", tmp_path, [Fails(b"", "the first"), Fails(b"", "the second")], heard, MANIFEST)


def test_a_full_disk_is_told_before_anything_is_fetched(tmp_path: Path, heard: Heard) -> None:
    huge = {"huge": Weights("Huge", "acme", "acme/huge", "Q0", "Apache-2.0", 10**18, "0" * 64, ())}
    with pytest.raises(WeightsError, match=r"MB free, .* MB are needed; make room, or set TRUNKLINE_CACHE"):
        pull("huge", tmp_path, [Gives(CONTENT)], heard, huge)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(WeightsError, match="no local model is called gpt; there are: tiny"):
        known("gpt", MANIFEST)


def test_a_file_of_the_users_is_taken_by_its_hash(tmp_path: Path, heard: Heard) -> None:
    file = tmp_path / "brought.gguf"
    file.write_bytes(CONTENT)
    assert import_file(file, tmp_path / "cache", heard, MANIFEST) == "tiny"
    assert find(TINY, tmp_path / "cache")
    assert file.exists()
    assert heard.last == (len(CONTENT), len(CONTENT))


def test_a_file_that_nobody_knows_is_refused_with_its_hash(tmp_path: Path, heard: Heard) -> None:
    file = tmp_path / "odd.gguf"
    file.write_bytes(b"odd")
    with pytest.raises(WeightsError, match=f"is no file of the manifest; wanted is one of: tiny {TINY.sha256}"):
        import_file(file, tmp_path / "cache", heard, MANIFEST)
    assert not (tmp_path / "cache").exists()


def test_removing_frees_the_file_and_leftovers(tmp_path: Path, heard: Heard) -> None:
    pull("tiny", tmp_path, [Gives(CONTENT)], heard, MANIFEST)
    assert remove("tiny", tmp_path, MANIFEST) == len(CONTENT)
    assert [path.name for path in models_dir(tmp_path).iterdir()] == [".lock"]
    assert remove("tiny", tmp_path, MANIFEST) == 0


def test_a_second_process_waits_and_finds_the_file_there(tmp_path: Path, heard: Heard) -> None:
    models_dir(tmp_path).mkdir()
    other = (models_dir(tmp_path) / ".lock").open("w")
    fcntl.flock(other, fcntl.LOCK_EX)
    source = Gives(CONTENT)
    waiting = Waiting(heard)
    thread = threading.Thread(target=pull, args=("tiny", tmp_path, [source], waiting, MANIFEST))
    thread.start()
    assert waiting.waits.wait(10)
    (models_dir(tmp_path) / f"{TINY.sha256}.gguf").write_bytes(CONTENT)
    other.close()
    thread.join(10)
    assert source.asked == 0


class Waiting:
    """Says when the pull waits for the lock."""

    def __init__(self, heard: Heard) -> None:
        self.waits = threading.Event()
        self._heard = heard

    def note(self, text: str) -> None:
        if "waiting for it" in text:
            self.waits.set()

    def at(self, done_bytes: int, total_bytes: int) -> None:
        self._heard.at(done_bytes, total_bytes)


def test_the_manifest_is_whole() -> None:
    manifest = load_manifest()
    assert {DEFAULT_MODEL, SMALL} <= set(manifest)
    for weights in manifest.values():
        assert sum(part.member_bytes for part in weights.parts) == weights.bytes
        assert weights.licence == "Apache-2.0"


def test_the_manifest_names_no_registry_host() -> None:
    from importlib import resources

    text = resources.files("trunkline.embedded").joinpath("manifest.json").read_text("utf-8")
    assert "http" not in text
