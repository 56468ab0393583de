"""What gateways know of conversations, for whichever gets the next turn. In and out: words by a conversation's name, for as long as they hold."""

from trunkline.errors import StoreError
from trunkline.shared.link import Link


class Board:
    """Lives as long as the process."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def find(self, name: bytes) -> bytes | None:
        """The newest words; None also where Redis is away."""
        if self._link.is_away:
            return None
        try:
            found: bytes | None = await self._link.ask("GET", _key(name))
        except StoreError:
            return None
        return found

    def keep(self, name: bytes, words: bytes, lasts_s: float) -> None:
        """Never waits."""
        self._link.tell("SET", _key(name), words, "PX", str(max(1, int(lasts_s * 1000))))


def _key(name: bytes) -> bytes:
    return b"tl:a:" + name.hex().encode()
