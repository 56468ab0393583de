"""What the three SDK programs share. In: GATEWAY_URL, GATEWAY_KEY and MODELS in the environment. Out: one line of JSON for each check.

A check is a function that asserts; `run` calls each with a model of its own and reports its name, and how it failed.
These programs run in the environment of the SDKs: nothing of this repository is imported but this file.
"""

import inspect
import json
import os
import re
import secrets
import traceback
from collections.abc import Callable
from typing import Any

ROOT = os.environ["GATEWAY_URL"]
KEY = os.environ["GATEWAY_KEY"]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR4nGP8z4APMOGVHbHSAEEsAROxCnMTAAAAAElFTkSuQmCC"
ADA = '<<json {"name":"Ada","age":36}>>'
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}

Check = Callable[[str], Any]


def backwards(extra: str = "") -> tuple[str, str]:
    """A prompt, and its answer, which an echo would not be."""
    word = secrets.token_hex(6)
    return f"{extra}<<say OK-{{{{rev:{word}}}}}>>", f"OK-{word[::-1]}"


def two_rounds() -> tuple[str, list[str], str]:
    """A prompt for two rounds of the tool `lookup` with a thought before each, what the tool gives back, and the last answer."""
    words = [f"KEY-{secrets.token_hex(6)}" for _ in range(2)]
    steps = [f'<<think round {city}>> <<call lookup {{"city": "{city}"}}>>' for city in ("Oslo", "Rome")]
    return rf"{' '.join(steps)} <<say tool said {{{{tool:KEY-\w+}}}}>>", words, f"tool said {words[1]}"


def refused(fails: Callable[[], Any], *classes: type[Exception]) -> Any:
    """The error of a call that has to fail."""
    try:
        fails()
    except classes as error:
        return error
    raise AssertionError("it did not fail")


def run(checks: dict[str, Any]) -> None:
    """Every function of a module whose name begins with `check_`, in order, each with the next model."""
    models = iter(os.environ["MODELS"].split())
    for name, check in list(checks.items()):
        if name.startswith("check_") and inspect.isfunction(check):
            print(json.dumps({"check": re.sub("^check_", "", name)} | _outcome(check, next(models))), flush=True)


def _outcome(check: Check, model: str) -> dict[str, Any]:
    try:
        check(model)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome
        place = traceback.extract_tb(error.__traceback__)[-1]
        return {"failed": f"{type(error).__name__}: {error}"[:800], "at": f"{place.name}: {place.line}"}
    return {}
