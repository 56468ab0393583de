"""Finds what is kept. In: keys. Out: `Kept`, decrypted, of those that have not expired. For threads of the data plane, on the driver."""

from collections.abc import Sequence

from trunkline.records.types import Kept
from trunkline.storage.cipher import Cipher
from trunkline.storage.columns import KEPT_COLUMNS
from trunkline.storage.reading import reader_of

_AT_ONCE = 100
# S608: names are constants of ours.
_SELECT = f"SELECT {', '.join(KEPT_COLUMNS)} FROM kept WHERE expires_ms > ? AND key IN "  # noqa: S608


class KeptReader:
    """Lives as long as the process. Used by one thread at a time; the store is opened at the first question."""

    def __init__(self, url: str, cipher: Cipher) -> None:
        self._reader = reader_of(url)
        self._cipher = cipher

    def find(self, keys: Sequence[str], now_ms: float) -> list[Kept]:
        """Those that are there, in any order. StoreError when the store cannot be read."""
        found: list[Kept] = []
        for start in range(0, len(keys), _AT_ONCE):
            found += self._some(keys[start : start + _AT_ONCE], now_ms)
        return [self._cipher.open(sealed) for sealed in found]

    def close(self) -> None:
        """Give the connection up; the next question opens another."""
        self._reader.close()

    def _some(self, keys: Sequence[str], now_ms: float) -> list[Kept]:
        statement = f"{_SELECT}({', '.join('?' * len(keys))})"
        return [Kept(*row) for row in self._reader.rows(statement, int(now_ms), *keys)]
