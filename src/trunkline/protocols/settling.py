"""What `settle` and `settle_turns` share: the request, its target, and the losses that have been noted, each once."""

from typing import NoReturn

from trunkline.errors import InvalidParams
from trunkline.ir.loss import Loss
from trunkline.ir.parts import Carry
from trunkline.ir.request import Request
from trunkline.protocols.carry import understands
from trunkline.protocols.codec import Target
from trunkline.protocols.fields import FIELDS, rule, word
from trunkline.protocols.tools import qualified


class Settling:
    """Gathers losses while one request is fitted to one target."""

    __slots__ = ("_losses", "names", "request", "target")

    def __init__(self, request: Request, target: Target) -> None:
        self.request = request
        self.target = target
        self._losses: dict[tuple[str, str], Loss] = {}
        foreign = request.origin != target.protocol
        self.names = {
            tool.name: qualified(tool.namespace, tool.name) for tool in request.tools if tool.namespace and foreign
        }
        """Name of a tool -> the name with its namespace, where the target has no namespaces."""

    def losses(self) -> tuple[Loss, ...]:
        return tuple(self._losses.values())

    def drop(self, name: str, why: str) -> None:
        self._note(name, "dropped", why)

    def emulate(self, name: str, how: str) -> None:
        self._note(name, "emulated", how)

    def note(self, name: str) -> None:
        """Note what the table says of `name` toward the target."""
        ruled = rule(name, self.target.protocol)
        if ruled.action in ("dropped", "emulated"):
            self._note(name, ruled.action, ruled.says)

    def refuse(self, name: str, why_and_mend: str) -> NoReturn:
        field = self._word(name)
        raise InvalidParams(f"`{field}` cannot be sent to this offer: {why_and_mend}.", param=field)

    def refuse_if_ruled(self, name: str) -> None:
        """Refuse where the table does."""
        ruled = rule(name, self.target.protocol)
        if ruled.action == "refused":
            self.refuse(name, ruled.says)

    def understands(self, carry: Carry | None) -> bool:
        return carry is not None and understands(carry, self.target.protocol, self.target.dialect)

    def _note(self, name: str, action: str, reason: str) -> None:
        self._losses[name, reason] = Loss(self._word(name), action, reason)

    def _word(self, name: str) -> str:
        return word(name, self.request.origin) if name in FIELDS else name
