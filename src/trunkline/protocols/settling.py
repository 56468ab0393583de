"""What `settle` and `settle_turns` share: the request, its target, and the losses that have been noted, each once."""

from typing import NoReturn

from trunkline.errors import InvalidParams
from trunkline.ir.loss import Loss
from trunkline.ir.parts import Carry
from trunkline.ir.request import Request
from trunkline.protocols.carry import understands
from trunkline.protocols.codec import Target
from trunkline.protocols.fields import FIELDS, rule, word
from trunkline.protocols.tools import fit_name, qualified


class Settling:
    """Gathers losses while one request is fitted to one target."""

    __slots__ = ("_foreign", "_losses", "called", "names", "request", "target")

    def __init__(self, request: Request, target: Target) -> None:
        self.request = request
        self.target = target
        self._losses: dict[tuple[str, str], Loss] = {}
        self._foreign = request.origin != target.protocol
        self.names = {
            tool.name: name
            for tool in request.tools
            if tool.kind in ("function", "custom") and (name := self.name(tool.namespace, tool.name)) != tool.name
        }
        """Name of a tool -> the name that the target is told, where that is another."""
        self.called: dict[str, str] = {}
        """Id of a call so far -> the name that the target is told."""

    def name(self, namespace: str, name: str) -> str:
        """A tool's name as the target is told it. A protocol's own callers know what it takes."""
        if not self._foreign:
            return name
        full = qualified(namespace, name)
        fit = fit_name(full, self.target.protocol)
        if fit != full:
            self._note("tools", "renamed", "the provider takes no such names; answers have the caller's own")
        return fit

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

    def unmarked(self) -> None:
        """Note that cache marks are taken off."""
        if rule("cache", self.target.protocol).action == "mapped":
            self.drop("cache", "the offer takes no cache marks")
        else:
            self.note("cache")

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
