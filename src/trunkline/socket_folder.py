"""A folder for unix sockets, which only this user can enter. In: how its name begins. Out: its path, short enough for the sockets in it.

A socket's path has room for 107 bytes on Linux and 103 on macOS (unix(7), unix(4)); the folder for temporary files may be longer than that.
"""

import tempfile
from pathlib import Path

from trunkline.errors import ConfigError

MAX_FOLDER_BYTES = 75
"""What is left for a socket's own name is enough for `worker-NN-PID.sock`."""
SHORT = Path("/tmp")  # noqa: S108 - a folder of our own is made in it, by mkdtemp
_MADE_UP_BYTES = 8
"""What mkdtemp adds to the beginning of a name."""


def make_socket_folder(prefix: str) -> Path:
    """In the folder for temporary files, or in `/tmp` where that one's path is too long. Raises ConfigError where neither can be had."""
    given = Path(tempfile.gettempdir())
    is_short = len(bytes(given)) + 1 + len(prefix) + _MADE_UP_BYTES <= MAX_FOLDER_BYTES
    try:
        return Path(tempfile.mkdtemp(prefix=prefix, dir=given if is_short else SHORT))
    except OSError as error:
        raise ConfigError(
            f"no folder for unix sockets could be made in {error.filename} ({error.strerror}); name a short one that this user may write to",
            where="TMPDIR",
        ) from None
