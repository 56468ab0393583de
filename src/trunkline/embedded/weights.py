"""The cache of weights: `<cache>/models/<sha256>.gguf`, trusted by hash alone.

In: a name of the manifest, a cache directory, sources, a progress callback. Out: the path of a checked file, or
WeightsError.
A file gets its final name only after its hash was right; nothing from a source is installed or imported.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from trunkline.embedded.errors import SourceFailed, WeightsError
from trunkline.embedded.manifest import Weights, licence_text, load_manifest

READ_BYTES = 1 << 20


class Progress(Protocol):
    """Told how far a pull is. `note` is for words, `at` for bytes out of the file's size."""

    def note(self, text: str) -> None: ...

    def at(self, done_bytes: int, total_bytes: int) -> None: ...


class Silent:
    """Progress that nobody watches."""

    def note(self, text: str) -> None:
        del text

    def at(self, done_bytes: int, total_bytes: int) -> None:
        del done_bytes, total_bytes


class Source(Protocol):
    """A place that may have the weights. `fetch` writes into `work`, which is kept for a later try, and returns the
    whole file."""

    name: str

    def fetch(self, weights: Weights, work: Path, progress: Progress) -> Path:
        """Raises SourceFailed. The caller checks the hash."""
        ...


def models_dir(cache_dir: Path) -> Path:
    """Where the files are, below Trunkline's cache."""
    return cache_dir / "models"


def known(name: str, manifest: Mapping[str, Weights]) -> Weights:
    """The entry of that name, with or without `local/` before it."""
    weights = manifest.get(name.removeprefix("local/"))
    if weights is None:
        raise WeightsError(f"no local model is called {name}; there are: {', '.join(manifest)}")
    return weights


def find(weights: Weights, cache_dir: Path) -> Path | None:
    """The file, where it is there whole. Its hash was checked when it got its name."""
    path = models_dir(cache_dir) / f"{weights.sha256}.gguf"
    try:
        return path if path.stat().st_size == weights.bytes else None
    except OSError:
        return None


def pull(
    name: str,
    cache_dir: Path,
    sources: Sequence[Source],
    progress: Progress,
    manifest: Mapping[str, Weights] | None = None,
) -> Path:
    """Have the weights in the cache: at once where they are there, else from the first source that gives the right
    bytes."""
    weights = known(name, manifest or load_manifest())
    ready = find(weights, cache_dir)
    if ready:
        return ready
    directory = models_dir(cache_dir)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(directory / ".lock", progress):
        return find(weights, cache_dir) or _pull_from(sources, name, weights, directory, progress)


def _pull_from(sources: Sequence[Source], name: str, weights: Weights, directory: Path, progress: Progress) -> Path:
    work = directory / f"{weights.sha256}.part"
    work.mkdir(mode=0o700, exist_ok=True)
    _require_room(weights, work)
    failures = []
    for source in sources:
        progress.note(f"{name}: asking {source.name}")
        try:
            path = _keep(source.fetch(weights, work, progress), weights, directory)
        except SourceFailed as failure:
            failures.append(f"{source.name}: {failure}")
            progress.note(failures[-1])
            continue
        shutil.rmtree(work, ignore_errors=True)
        return path
    tried = "; ".join(failures) or "there is no source to ask"
    raise WeightsError(
        f"{name} could not be had ({tried}). Bring the file another way and run `trunkline models import FILE`; "
        f"its SHA-256 must be {weights.sha256}"
    )


def import_file(path: Path, cache_dir: Path, progress: Progress, manifest: Mapping[str, Weights] | None = None) -> str:
    """Copy a file of the user's into the cache, where its hash is one of the manifest's. Returns the model's name."""
    entries = manifest or load_manifest()
    try:
        size = path.stat().st_size
        found = sha256_of(path, progress)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error
    for name, weights in entries.items():
        if weights.sha256 == found:
            _copy_in(path, weights, models_dir(cache_dir), progress)
            return name
    wanted = ", ".join(f"{name} {weights.sha256}" for name, weights in entries.items())
    raise WeightsError(f"{path} ({size} bytes, SHA-256 {found}) is no file of the manifest; wanted is one of: {wanted}")


def _copy_in(path: Path, weights: Weights, directory: Path, progress: Progress) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(directory / ".lock", progress):
        copy = directory / f"{weights.sha256}.import"
        try:
            shutil.copyfile(path, copy)
            _keep(copy, weights, directory)
        except OSError as error:
            raise WeightsError(f"{path} cannot be copied into {directory}: {error.strerror}") from error
        finally:
            copy.unlink(missing_ok=True)


def remove(name: str, cache_dir: Path, manifest: Mapping[str, Weights] | None = None) -> int:
    """Delete a model's file and what a broken-off pull left. Returns the bytes that came free."""
    weights = known(name, manifest or load_manifest())
    path = find(weights, cache_dir)
    for leftover in models_dir(cache_dir).glob(f"{weights.sha256}.*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
    return weights.bytes if path else 0


def sha256_of(path: Path, progress: Progress) -> str:
    """The hash of a file, in reads of 1 MiB."""
    digest = hashlib.sha256()
    total = path.stat().st_size
    done = 0
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
            done += len(block)
            progress.at(done, total)
    return digest.hexdigest()


def _keep(candidate: Path, weights: Weights, directory: Path) -> Path:
    """Give a fetched file its name, if it is the right one; else it is deleted."""
    found = sha256_of(candidate, Silent())
    if found != weights.sha256:
        candidate.unlink()
        raise SourceFailed(f"what came has SHA-256 {found}, not {weights.sha256}; it was deleted")
    final = directory / f"{weights.sha256}.gguf"
    candidate.chmod(0o600)
    _write_notices(weights, directory)
    os.replace(candidate, final)
    return final


def _write_notices(weights: Weights, directory: Path) -> None:
    """The licence asks to be handed on with every copy (Apache-2.0, section 4)."""
    (directory / f"{weights.sha256}.LICENSE.txt").write_text(licence_text(weights.licence), "utf-8")
    source = f"{weights.publisher.repository} at {weights.publisher.revision}" if weights.publisher else weights.origin
    notice = (
        f"{weights.title}, quantised to {weights.quantisation}\n"
        f"by {weights.author}: {source}\n"
        f"Licence: {weights.licence}, see {weights.sha256}.LICENSE.txt\n"
        f"SHA-256 of the file, unchanged: {weights.sha256}\n"
    )
    (directory / f"{weights.sha256}.NOTICE.txt").write_text(notice, "utf-8")


def _require_room(weights: Weights, work: Path) -> None:
    """Twice the file: parts and the joined file are there together for a moment."""
    kept = sum(file.stat().st_size for file in work.rglob("*") if file.is_file())
    needed = max(2 * weights.bytes - kept, 0)
    free = shutil.disk_usage(work).free
    if free < needed:
        raise WeightsError(
            f"{work.parent} has {free / 1e6:.0f} MB free, {needed / 1e6:.0f} MB are needed; "
            "make room, or set TRUNKLINE_CACHE to a directory on another disk"
        )


@contextlib.contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """Only one process writes into the cache; another one waits. The lock ends with its process, however that ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note("another process fills the cache; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
