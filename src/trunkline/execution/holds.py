"""Which provider's account holds what of each conversation, for the conversations that were used last. In and out: `Held` by a conversation's name."""

from collections import OrderedDict

from trunkline.routing.affinity import Held

MAX_CONVERSATIONS = 50_000
"""Some 300 bytes each, so 15 MB."""


class Holds:
    """Lives as long as the process, in its memory: after a start conversations find their offer anew."""

    is_shared = False
    """Whether `recall` may find more than is here."""

    def __init__(self, most: int = MAX_CONVERSATIONS) -> None:
        self._most = most
        self._held: OrderedDict[bytes, Held] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def limit(self, most: int) -> None:
        """From now on keep so many."""
        self._most = most
        while len(self._held) > most:
            self._held.popitem(last=False)

    def find(self, name: bytes) -> Held | None:
        """What is held of a conversation, whether or not its cache still lives."""
        return self._held.get(name)

    async def recall(self, name: bytes) -> None:
        """Have here what other gateways know of a conversation."""

    def keep(self, name: bytes, held: Held, *, has_state: bool = False) -> None:
        """From now on this is held, for long where the account's own state is with it; the conversation that rested longest is forgotten where there are
        too many."""
        del has_state
        known = self._held
        known[name] = held
        known.move_to_end(name)
        if len(known) > self._most:
            known.popitem(last=False)
