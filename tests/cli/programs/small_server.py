"""A data plane without a gateway: our server, and how it leaves. Each answer names its process; `/readyz` says whether it is leaving."""

import asyncio
import os
import socket
import sys
from pathlib import Path

from trunkline.api.call import Call
from trunkline.api.server import Limits, Server
from trunkline.cli.lifeline import Place
from trunkline.cli.logs import make_logger
from trunkline.leaving import Leaving
from trunkline.settings import ServerSettings


class Slow:
    """Answers after a moment, as models do."""

    max_body_bytes = 1000

    def __init__(self, call: Call) -> None:
        self._call = call

    async def run(self, body: bytes) -> None:
        del body
        await asyncio.sleep(0.02)
        self._call.whole(200, [], str(os.getpid()).encode())

    def refuse(self, error: Exception) -> None:
        self._call.whole(503, [], str(error).encode())

    def left(self) -> None:
        pass


async def main(fd: int, place: Place, pre_stop_s: float) -> None:
    if (place.folder / "blocked").exists():
        sys.exit(1)
    is_leaving = asyncio.Event()

    def app(call: Call) -> Slow | None:
        if call.path != "/readyz":
            return Slow(call)
        call.whole(503 if is_leaving.is_set() else 200, [], b"")
        return None

    server = Server(app, make_logger(sys.stderr, f"small {place.worker}"), Limits())
    leaving = Leaving(server, is_leaving.set, place, ServerSettings(drain_s=5, pre_stop_s=pre_stop_s))
    leaving.heed_signals(asyncio.get_running_loop())
    with socket.socket(fileno=fd) as listener:
        await server.start(listener)
        await server.start_at(place.own)
        await leaving.told()
        await leaving.leave()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Place(Path(sys.argv[2]), sys.argv[3]), float(sys.argv[4])))
