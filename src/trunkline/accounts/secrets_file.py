"""The file beside the store that holds what must not be in it: the pepper of the key hashes and the master key.

In: its path. Out: `Secrets`, made on first use. Mode 0600; two processes that start at once get the same content.
Whoever has the store without this file can check no guess of a key against it.
"""

import base64
import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec

from trunkline.accounts.keys import ENTROPY_BYTES, new_secret
from trunkline.errors import ConfigError

_PEPPER_BYTES = 32


class Secrets(msgspec.Struct, frozen=True):
    """Never printed: the repr is empty on purpose."""

    pepper: bytes
    master_key: str

    def __repr__(self) -> str:
        return "Secrets(...)"


class _SecretsFile(msgspec.Struct, frozen=True):
    pepper: str
    master_key: str
    version: int = 1


def load_or_make(path: Path, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> Secrets:
    """Read the file, or make it when there is none. ConfigError when it cannot be used or others may read it."""
    with contextlib.suppress(FileNotFoundError):
        return _load(path)
    _make(path, random_bytes)
    return _load(path)


def _load(path: Path) -> Secrets:
    try:
        with path.open("rb") as file:
            _check_mode(path, os.fstat(file.fileno()).st_mode)
            content = file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return _parse(path, content)


def _check_mode(path: Path, mode: int) -> None:
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(
            f"holds secrets and is open to other users (mode {stat.S_IMODE(mode):04o}); run: chmod 600 {path}",
            where=str(path),
        )


def _parse(path: Path, content: bytes) -> Secrets:
    try:
        parsed = msgspec.json.decode(content, type=_SecretsFile)
        pepper = base64.b64decode(parsed.pepper, validate=True)
    except ValueError as error:
        # Without the error's own text: it may quote the content.
        raise ConfigError(
            "is not a secrets file of Trunkline; restore it from a backup (a new one makes all API keys invalid)",
            where=str(path),
        ) from error
    if len(pepper) < _PEPPER_BYTES or not parsed.master_key:
        raise ConfigError("is incomplete; restore it from a backup", where=str(path))
    return Secrets(pepper, parsed.master_key)


def _make(path: Path, random_bytes: Callable[[int], bytes]) -> None:
    content = _SecretsFile(
        pepper=base64.b64encode(random_bytes(_PEPPER_BYTES)).decode("ascii"),
        master_key=new_secret(random_bytes(ENTROPY_BYTES)),
    )
    draft = path.with_name(f".{path.name}.{os.getpid()}.{random_bytes(6).hex()}")
    try:
        _write_synced(draft, msgspec.json.encode(content))
        _publish(draft, path)
    except OSError as error:
        raise ConfigError(
            f"cannot be made: {error.strerror}; the folder must exist and be writable", where=str(path)
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _write_synced(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _publish(draft: Path, path: Path) -> None:
    # link, unlike rename, fails when the name is taken: the first of two processes wins, and both then read its file.
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
