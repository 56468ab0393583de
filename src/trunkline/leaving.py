"""How a data plane ends. In: signals. Out: a server whose last answers have gone out, and callers who went elsewhere in time."""

import asyncio
import signal
from collections.abc import Callable

from trunkline.api.server import Server
from trunkline.cli.lifeline import IDLE_LEAVES_WITHIN_S, Place
from trunkline.settings import ServerSettings


class Leaving:
    """How a data plane ends: for good, or because another takes its place on the same port. Lives as long as the process."""

    def __init__(self, server: Server, turn_away: Callable[[], None], place: Place, settings: ServerSettings) -> None:
        self._server, self._turn_away, self._place, self._settings = server, turn_away, place, settings
        self._told = asyncio.Event()
        self._is_replaced = False

    def heed_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """SIGTERM and SIGINT end it; after SIGUSR2 there is another one."""
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told.set)
        loop.add_signal_handler(signal.SIGUSR2, self._be_replaced)

    async def told(self) -> None:
        """Until it is told to leave."""
        await self._told.wait()

    async def leave(self) -> None:
        """Let answers end. No longer ready for `pre_stop_s` first, still taking requests, so that whoever spreads them goes elsewhere;
        one that is replaced has no need to, for its port stays open."""
        server, pre_stop_s = self._server, self._settings.pre_stop_s
        if self._is_replaced:
            # Of two data planes with one number only the new one is asked for its figures.
            self._place.own.unlink(missing_ok=True)
            await self._end_gently()
        elif pre_stop_s:
            self._turn_away()
            server.say_farewell()
            await asyncio.sleep(pre_stop_s)
            await self._end_gently()
        await server.stop(self._settings.drain_s)

    async def _end_gently(self) -> None:
        """Each connection with an answer; what is left after a while rests for longer than callers use a connection again."""
        self._server.say_farewell()
        await self._server.close_door()
        await self._server.settled(IDLE_LEAVES_WITHIN_S)

    def _be_replaced(self) -> None:
        self._is_replaced = True
        self._told.set()
