"""A gateway in small, to be killed: starts a child, prints its pid and directory, then waits, or closes only the
child's stdin."""

import asyncio
import os
import sys
import time
from pathlib import Path

from trunkline.embedded.supervisor import LocalModels

SMALL = "smollm2-135m-instruct"


async def main(cache_dir: Path, how: str) -> None:
    models = LocalModels(cache_dir, os.environ, monotonic=time.monotonic)
    endpoint = await models.endpoint(SMALL)
    child = models._children[SMALL]
    process = child._process
    assert process is not None
    assert process.stdin is not None
    print(child.pid, Path(endpoint.unix_path).parent, flush=True)
    if how == "stdin":
        process.stdin.close()
        await process.wait()
        await models.stop()
        return
    await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
