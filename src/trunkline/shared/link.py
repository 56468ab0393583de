"""A connection to Redis of its own for what gateways tell each other beside budgets. In: commands. Out: replies, or that it is away.

Nothing here is the truth: without it each gateway goes on by what it knows itself. Apart from the one for claims, which must not wait behind it.
"""

import asyncio
import secrets
from typing import Any

from trunkline.shared.lua_beside import SCRIPTS
from trunkline.shared.redis_client import Address, Away, RedisClient

LOOK_S = 0.5


class Link:
    """Lives as long as the process; `keep_up` runs beside it."""

    def __init__(self, address: Address, *, timeout_s: float = 0.5, ca_file: str = "", gate: str = "") -> None:
        """`gate`: this process, in the eyes of the others; by chance where it is left out."""
        self._client = RedisClient(address, timeout_s, SCRIPTS, ca_file)
        self._was_tried = asyncio.Event()
        self.gate = gate or secrets.token_hex(8)
        self.is_away = False
        """It was tried, and does not answer."""

    async def tried(self) -> None:
        """Until a connection was there or could not be had: what comes with the start waits for it."""
        if not self._was_tried.is_set():
            await self._was_tried.wait()

    async def look(self) -> None:
        """Have a connection, and see whether it answers. Raises Away."""
        try:
            await self._client.connect()
            await self._client.ask("PING")
            self.is_away = False
        except Away:
            self.is_away = True
            raise
        finally:
            self._was_tried.set()

    async def keep_up(self, log: Any) -> None:
        """Keep a connection, until cancelled."""
        was_away = False
        while True:
            try:
                await self.look()
                if was_away:
                    log.info("what gateways share beside budgets is there again")
            except Away as error:
                if not was_away:
                    log.error("gateways do not hear of each other, each goes by what it knows", error=str(error))
            was_away = self.is_away
            await asyncio.sleep(LOOK_S)

    def ask(self, *command: str | bytes) -> "asyncio.Future[Any]":
        """Send a command; its future gives the reply or raises Away, as does this where there is no connection."""
        return self._client.ask(*command)

    def run(self, script: str, *values: str | bytes) -> "asyncio.Future[Any]":
        """The same for a script."""
        return self._client.run(script, *values)

    def tell(self, *command: str | bytes) -> None:
        """Send a command whose reply says nothing; nothing where there is no connection."""
        try:
            _unheard(self._client.ask(*command))
        except Away:
            return

    def tell_script(self, script: str, *values: str | bytes) -> None:
        """The same for a script."""
        try:
            _unheard(self._client.run(script, *values))
        except Away:
            return

    def close(self) -> None:
        self._client.close()


def _unheard(reply: "asyncio.Future[Any]") -> None:
    reply.add_done_callback(lambda told: told.cancelled() or told.exception())
