"""A supervisor over two small children. Arguments: a folder, how the data plane behaves, how the console does."""

import os
import sys
from pathlib import Path

from trunkline.cli.logs import make_logger
from trunkline.cli.supervisor import ChildSpec, Supervisor

CHILD = Path(__file__).with_name("child.py")


def main(folder: Path, data: str, console: str) -> int:
    def spec(name: str, behaviour: str, grace_s: float) -> ChildSpec:
        mark = folder / f"{name}.ready"
        argv = (sys.executable, str(CHILD), name, behaviour, str(mark))
        return ChildSpec(name, argv, grace_s, lambda _: mark.exists())

    def may_reload() -> bool:
        good = not (folder / "bad").exists()
        print(f"supervisor: reload {'taken' if good else 'refused'}", flush=True)
        return good

    supervisor = Supervisor(
        [spec("data", data, 20.0 if data == "slow" else 0.2)],
        spec("console", console, 5.0),
        dict(os.environ),
        make_logger(sys.stderr, "test"),
        on_ready=lambda: print("supervisor: ready", flush=True),
        on_reload=may_reload,
        on_stop=lambda: print("supervisor: closed the door", flush=True),
    )
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
