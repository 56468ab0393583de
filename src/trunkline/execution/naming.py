"""A stream that passes through says the model that was chosen, where its caller did not name that: stands before the reply that there is.

In: whole events of the provider's, as they are passed on. Out: the same, but for the name.
"""

import asyncio

from trunkline.execution.respond import Headers, Reply
from trunkline.protocols.model_in import ModelInStream


class Naming(Reply):
    """Lives as long as its attempt."""

    __slots__ = ("_model", "_reply")

    def __init__(self, reply: Reply, protocol: str, model: str) -> None:
        self._reply = reply
        self._model = ModelInStream(protocol, model)

    @property
    def left(self) -> bool:  # type: ignore[override]
        """The caller is gone."""
        return self._reply.left

    @property
    def is_full(self) -> bool:
        """The caller reads too slowly."""
        return self._reply.is_full

    def room(self) -> "asyncio.Future[None]":
        """Of the reply."""
        return self._reply.room()

    def start(self, status: int, headers: Headers, first: bytes = b"") -> None:
        """Send the head with the first bytes of a stream."""
        self._reply.start(status, headers, self._model.put_into(first))

    def write(self, data: bytes) -> bool:
        """Send whole events of a stream."""
        return self._reply.write(self._model.put_into(data))

    def pass_on(self, chunk: bytes, size: int, at_s: float) -> bool:
        """Nothing goes as it came."""
        del chunk, size, at_s
        return False

    def end(self) -> None:
        """End a stream."""
        self._reply.end()
