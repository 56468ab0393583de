"""Which request with an `Idempotency-Key` is answered by which gateway. In: names. Out: that a name is ours, or who has it.

A name is held by a lease that is renewed while its request goes on: a gateway that is gone holds it for `LEASE_S` more. Without Redis all names are ours.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import msgspec

from trunkline.errors import StoreError
from trunkline.shared.link import Link

LEASE_S = 15.0
LOOK_S = 0.05
"""How soon a name is let go once its answer is in the store."""
_AT_ONCE = 200


class Elsewhere(msgspec.Struct, frozen=True):
    """A request that somebody else answers."""

    asked: bytes
    """Its digest."""
    age_s: float
    is_ending: bool
    """It is answered, and the answer on its way to the store."""


class _Mine(msgspec.Struct):
    owner: str
    """Of this claim alone, and no beginning of another's."""
    asked: bytes
    since_ms: float
    is_there: Callable[[], bool] | None = None
    """Whether the answer is where others find it; None while there is none."""

    @property
    def written(self) -> bytes:
        return f"{self.owner}{self.since_ms:.0f} {self.asked.hex()} {int(self.is_there is not None)}".encode()


class Names:
    """Lives as long as the process; `keep_up` runs beside it."""

    def __init__(self, link: Link, unix_ms: Callable[[], float], lease_s: float = LEASE_S) -> None:
        self._link = link
        self._unix_ms = unix_ms
        self._lease_s = lease_s
        self._mine: dict[str, _Mine] = {}
        self._count = 0
        self._is_ending = asyncio.Event()
        """Set while a name waits to be let go."""

    async def claim(self, name: str, asked: bytes) -> Elsewhere | None:
        """None: the name is ours until `release`, or `finish`."""
        known = self._mine.get(name)
        if known is not None:
            return self._told(known)
        self._count += 1
        mine = self._mine[name] = _Mine(f"{self._link.gate}:{self._count} ", asked, self._unix_ms())
        try:
            await self._link.tried()
            px = str(int(self._lease_s * 1000))
            found = await self._link.ask("SET", _key(name), mine.written, "NX", "GET", "PX", px)
        except StoreError:
            return None
        except asyncio.CancelledError:
            self.release(name)
            raise
        if found is None:
            return None
        self._mine.pop(name, None)
        return self._told(_read(found))

    def finish(self, name: str, is_there: Callable[[], bool]) -> None:
        """Its answer is on its way to where others find it: the name is ours until then."""
        mine = self._mine.get(name)
        if mine is not None:
            mine.is_there = is_there
            self._is_ending.set()
            self._hold([name])

    def release(self, name: str) -> None:
        """It is nobody's."""
        mine = self._mine.pop(name, None)
        if mine is not None:
            self._link.tell_script("let_go", _key(name), mine.owner)

    async def keep_up(self) -> None:
        """Renew what is held, and let go of what has come to its end, until cancelled."""
        loop = asyncio.get_running_loop()
        renewed_at = loop.time()
        while True:
            await self._pause()
            self._let_go()
            if loop.time() - renewed_at >= self._lease_s / 3:
                renewed_at = loop.time()
                await self.renew()

    async def renew(self) -> None:
        """Also of a Redis that came back empty."""
        names = list(self._mine)
        for at in range(0, len(names), _AT_ONCE):
            self._hold(names[at : at + _AT_ONCE])
            await asyncio.sleep(0)

    async def _pause(self) -> None:
        if self._is_ending.is_set():
            await asyncio.sleep(LOOK_S)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._lease_s / 3):
                await self._is_ending.wait()

    def _let_go(self) -> None:
        ending = [(name, mine.is_there) for name, mine in self._mine.items() if mine.is_there is not None]
        over = [name for name, is_there in ending if is_there()]
        for name in over:
            self.release(name)
        if len(over) == len(ending):
            self._is_ending.clear()

    def _hold(self, names: Sequence[str]) -> None:
        px = str(int(self._lease_s * 1000))
        for name in names:
            mine = self._mine.get(name)
            if mine is not None:
                self._link.tell_script("hold", _key(name), mine.owner, mine.written, px)

    def _told(self, held: _Mine) -> Elsewhere:
        age_s = (self._unix_ms() - held.since_ms) / 1000
        return Elsewhere(held.asked, max(0.0, age_s), held.is_there is not None)


def _key(name: str) -> str:
    return f"tl:n:{name}"


def _read(written: bytes) -> _Mine:
    owner, since_ms, asked, is_ending = written.decode().split(" ")
    return _Mine(owner, bytes.fromhex(asked), float(since_ms), (lambda: False) if is_ending == "1" else None)
