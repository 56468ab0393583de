"""The row of routing: CPU of one decision, in a process of the gateway's own Python. In: the lab. Out: samples `routing_order` and `routing_draw`.

With ten offers that are measured: `order` is made anew, as after a failure or a tenth of a second; `draw` is a request that finds it made.
"""

import json
import subprocess
from pathlib import Path

from bench.rows import Lab
from bench.types import Sample

_ROOT = Path(__file__).resolve().parent.parent
ORDER, DRAW = "routing_order", "routing_draw"


def decisions(lab: Lab, python: str) -> None:
    """A sample of each for every round."""
    for number in range(1, lab.plan.rounds + 1):
        done = subprocess.run(
            [python, "-m", "bench.routing", "--decision"],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            lab.notes.append(f"no routing decision could be measured: {done.stderr[-300:]}")
            return
        figures = json.loads(done.stdout)
        for row, name in ((ORDER, "order"), (DRAW, "draw")):
            lab.add(Sample(row=row, stack="Trunkline", round=number, value=figures[name]))
