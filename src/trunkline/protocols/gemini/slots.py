"""State that a Gemini client keeps for us, in `thoughtSignature`. In: the parts of an answer as they end. Out: the signature for each, if it needs one.

State of other vendors is sealed. What the client does not see, or would drop (clients throw thoughts away, but return the signatures of calls and texts),
is put into the slot of the next part that it returns.
"""

import msgspec

from trunkline.ir.parts import Carry, Opaque, Thinking
from trunkline.protocols.carry import Kept, carried, seal
from trunkline.protocols.gemini.names import NAME
from trunkline.protocols.rawjson import Fields

SIGNATURE = "thoughtSignature"


class Slots:
    """The slots of one candidate. Lives as long as that is written."""

    __slots__ = ("_hidden", "_secret")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._hidden: list[Thinking | Opaque] = []

    def hide(self, part: Thinking | Opaque) -> None:
        """Keep a whole part for the next slot."""
        self._hidden.append(part)

    @property
    def waiting(self) -> bool:
        return bool(self._hidden)

    def keys(self, carry: Carry | None, call_id: str = "") -> Fields:
        """The keys that a part gets for its own carry and for what was hidden before it."""
        if not self._hidden:
            if carry is None:
                return {}
            own = carried(carry, NAME, "")
            if own or is_own(carry):
                return own
        kept = Kept(before=tuple(self._hidden), carry=carry, id=call_id)
        self._hidden.clear()
        return {SIGNATURE: msgspec.Raw(msgspec.json.encode(seal(kept, self._secret)))}

    def rest(self) -> dict[str, object] | None:
        """A part made for what is still hidden at the end; None where nothing is."""
        if not self._hidden:
            return None
        kept = Kept(before=tuple(self._hidden), place="next")
        self._hidden.clear()
        return {"text": "", "thought": True, SIGNATURE: seal(kept, self._secret)}


def is_own(carry: Carry | None) -> bool:
    """A carry of Gemini's, which goes out as it is."""
    return carry is not None and carry.origin.partition("/")[0] == NAME
