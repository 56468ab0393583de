"""A supervisor over real servers that share a port, each with a small application. Arguments: a folder, how many, whether they may overlap."""

import os
import sys
from pathlib import Path

from trunkline.cli.lifeline import Place
from trunkline.cli.logs import make_logger
from trunkline.cli.serve import bound_socket, is_ready, shared_port
from trunkline.cli.supervisor import ChildSpec, Supervisor
from trunkline.settings import load_settings

SERVER = str(Path(__file__).with_name("small_server.py"))
CHILD = str(Path(__file__).with_name("child.py"))


def main(folder: Path, count: int, overlaps: bool, pre_stop_s: str) -> int:
    settings = load_settings(None, {"TRUNKLINE_PORT": "0"})
    import signal

    with bound_socket(settings) as first, shared_port(first, count) as listeners:
        places = [Place(folder, str(number + 1)) for number in range(count)]
        specs = [
            ChildSpec(
                f"data {place.worker}",
                (sys.executable, SERVER, str(listener.fileno()), str(folder), place.worker, pre_stop_s),
                20.0,
                lambda pid, place=place: is_ready(place.of(pid)),
                (listener.fileno(),),
                overlaps,
                signal.SIGUSR2,
            )
            for place, listener in zip(places, listeners, strict=True)
        ]
        mark = folder / "console.ready"
        console = ChildSpec(
            "console", (sys.executable, CHILD, "console", "steady", str(mark)), 5.0, lambda _: mark.exists()
        )
        port = first.getsockname()[1]
        return Supervisor(
            specs,
            console,
            dict(os.environ),
            make_logger(sys.stderr, "test"),
            on_ready=lambda: print(f"supervisor: ready at {port}", flush=True),
            on_reload=lambda: True,
            on_stop=lambda: [listener.close() for listener in listeners],
        ).run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "overlaps", sys.argv[4]))
