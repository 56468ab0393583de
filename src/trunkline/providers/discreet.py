"""A struct with secrets in it, which says only what `_shown` says: in logs, in tracebacks, and in the pages of a debugger."""

from collections.abc import Iterator
from typing import Any

import msgspec


class Discreet(msgspec.Struct, frozen=True):
    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._shown())})"

    def __rich_repr__(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        return self._shown()

    def _shown(self) -> Iterator[tuple[str, Any]]:
        raise NotImplementedError
