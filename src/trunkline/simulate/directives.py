"""What a test writes into a prompt to have its answer its way: `<<say hello>>`, `<<fail 429 2 30>>`, `<<@azure cut
3>>`.

In: the newest user message, the provider's name. Out: a frozen `Script`. What is no directive stays part of the prompt;
a known word with arguments that do not fit raises `BadDirectiveError`. docs/simulate.md has the table.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

DIRECTIVE = re.compile(r"<<\s*(?:@(?P<provider>[\w.-]+)\s+)?(?P<word>[a-z]+)(?:\s+(?P<rest>.*?))?\s*>>", re.DOTALL)
BEFORE_HEAD = -1
"""As `Fault.after`: before the first byte of the answer."""


class BadDirectiveError(ValueError):
    """A known directive with arguments that it cannot use."""


class WantedCall(msgspec.Struct, frozen=True):
    name: str
    arguments: str


class Step(msgspec.Struct, frozen=True):
    """One turn of the model: text, or tool calls."""

    text: str = ""
    calls: tuple[WantedCall, ...] = ()


class Fault(msgspec.Struct, frozen=True):
    """How an answer breaks off: `cut`, `reset`, `stall` or `error` (an event in the stream), after so many pieces."""

    kind: str
    after: int


class Failure(msgspec.Struct, frozen=True):
    """An error status for the first `times` requests with this message."""

    status: int
    times: int
    retry_after_s: float | None = None


class TokenCounts(msgspec.Struct, frozen=True):
    """`cached` and what is written into a cache are part of `prompt`, `reasoning` is part of `completion`."""

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0
    written_5m: int = 0
    written_1h: int = 0


class Script(msgspec.Struct, frozen=True):
    """Everything that one message asked for. `steps[i]` is played after i rounds of tool calls."""

    steps: tuple[Step, ...] = ()
    thinking: tuple[str, ...] = ()
    """Blocks of reasoning, in their order."""
    refusal: str | None = None
    """The model declines, with these words."""
    redacted: bool = False
    """A block of reasoning that only the vendor can read follows the others, where its protocol has such blocks."""
    usage: TokenCounts | None = None
    failure: Failure | None = None
    fault: Fault | None = None
    tokens: int | None = None
    tokens_per_s: float | None = None
    wait_ms: float | None = None
    gap_ms: float | None = None
    content_type: str | None = None
    """Sent instead of the right one; empty: no such header."""
    malformed: bool = False
    empty: bool = False
    empty_body: bool = False
    without_usage: bool = False


NO_SCRIPT = Script()


def read_script(message: str, provider: str) -> Script:
    """The directives of `message` that are meant for `provider` (`@NAME` fits NAME and NAME-sim)."""
    if "<<" not in message:
        return NO_SCRIPT
    fields: dict[str, Any] = {}
    for match in DIRECTIVE.finditer(message):
        read = READERS.get(match["word"])
        if read is None or match["provider"] not in (None, provider, provider.removesuffix("-sim")):
            continue
        try:
            merge(fields, read(match["rest"] or ""))
        except (ValueError, IndexError, msgspec.MsgspecError) as error:
            raise BadDirectiveError(f"the directive {match[0]} does not fit: {error}") from error
    return Script(**fields)


def merge(fields: dict[str, Any], more: dict[str, Any]) -> None:
    """Later directives win, but for steps and blocks of reasoning, which follow one another."""
    for name, value in more.items():
        fields[name] = fields.get(name, ()) + value if isinstance(value, tuple) else value


def numbers(rest: str, least: int, most: int) -> list[float]:
    found = [float(word) for word in rest.split()]
    if not least <= len(found) <= most or any(number < 0 for number in found):
        raise ValueError(f"takes {least} to {most} numbers from 0 up")
    return found


def whole(rest: str, least: int, most: int) -> list[int]:
    return [int(number) for number in numbers(rest, least, most)]


def say(rest: str) -> dict[str, Any]:
    return {"steps": (Step(text=rest),)}


def call(rest: str) -> dict[str, Any]:
    name, _, arguments = rest.partition(" ")
    if not name:
        raise ValueError("takes a tool's name and its arguments as JSON")
    return {"steps": (Step(calls=(WantedCall(name, arguments.strip() or "{}"),)),)}


class ListedCall(msgspec.Struct, frozen=True):
    name: str
    args: msgspec.Raw = msgspec.Raw(b"{}")


def calls(rest: str) -> dict[str, Any]:
    listed = msgspec.json.decode(rest, type=list[ListedCall])
    return {"steps": (Step(calls=tuple(WantedCall(item.name, bytes(item.args).decode()) for item in listed)),)}


def think(rest: str) -> dict[str, Any]:
    return {"thinking": (rest,)}


def usage(rest: str) -> dict[str, Any]:
    return {"usage": TokenCounts(*whole(rest, 2, 6))}


def fail(rest: str) -> dict[str, Any]:
    status, times, *after = numbers(rest, 2, 3)
    if not 400 <= status <= 599:
        raise ValueError("takes a status from 400 to 599")
    return {"failure": Failure(int(status), int(times), after[0] if after else None)}


def breaking(kind: str) -> Callable[[str], dict[str, Any]]:
    def read(rest: str) -> dict[str, Any]:
        after: Sequence[int] = whole(rest, 0, 1)
        return {"fault": Fault(kind, after[0] if after else BEFORE_HEAD)}

    return read


def tokens(rest: str) -> dict[str, Any]:
    count, *rate = numbers(rest, 1, 2)
    return {"tokens": int(count), "tokens_per_s": rate[0] if rate else None}


def empty(rest: str) -> dict[str, Any]:
    if rest not in ("", "body"):
        raise ValueError("takes nothing, or the word body")
    return {"empty_body": True} if rest else {"empty": True}


READERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "say": say,
    "call": call,
    "calls": calls,
    "think": think,
    "refuse": lambda rest: {"refusal": rest},
    "redact": lambda _rest: {"redacted": True},
    "usage": usage,
    "fail": fail,
    "cut": breaking("cut"),
    "reset": breaking("reset"),
    "stall": breaking("stall"),
    "errmid": breaking("error"),
    "tokens": tokens,
    "wait": lambda rest: {"wait_ms": numbers(rest, 1, 1)[0]},
    "slow": lambda rest: {"gap_ms": numbers(rest, 1, 1)[0]},
    "notype": lambda rest: {"content_type": rest},
    "malformed": lambda _rest: {"malformed": True},
    "empty": empty,
    "nousage": lambda _rest: {"without_usage": True},
}
