"""A child that says what happens to it. `behaviour`: steady, fails, misconfigured, stubborn (no SIGTERM), slow (needs a second SIGTERM)."""

import os
import signal
import sys
from pathlib import Path

name, behaviour, mark = sys.argv[1], sys.argv[2], Path(sys.argv[3])


def say(text: str) -> None:
    os.write(1, f"{name}: {text}\n".encode())


def terminate(*_: object) -> None:
    say("told to stop")
    if behaviour == "steady":
        mark.unlink()
        os._exit(0)


say(f"pid {os.getpid()}")
if behaviour in ("fails", "misconfigured"):
    sys.exit(1 if behaviour == "fails" else 2)
signal.signal(signal.SIGTERM, terminate)
signal.signal(signal.SIGHUP, lambda *_: say("reloads"))
mark.touch()
while True:
    signal.pause()
