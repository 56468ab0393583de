"""What a simulated model says: the same for the same question and seed.

In: `Asked`, `Script`, the seed. Out: a frozen `Answer` in pieces, a piece being what one stream event carries and one
token. No IO, no time, no chance: everything comes from a hash of the question.
"""

import re
from hashlib import shake_128
from typing import Any

import msgspec

from trunkline.simulate.asked import Asked
from trunkline.simulate.directives import Script, Step, TokenCounts, WantedCall
from trunkline.simulate.example import example

MARK = "[simulated] "
PIECE = re.compile(r"\s*\S{1,16}|\s+")
WORDS = (
    "amber", "anchor", "answer", "arrow", "atlas", "autumn", "balance", "beacon", "bridge", "bright", "calm", "canal",
    "cedar", "circle", "clear", "cloud", "coast", "copper", "current", "delta", "distant", "early", "ember", "engine",
    "estuary", "evening", "field", "figure", "first", "forest", "gentle", "glass", "granite", "harbour", "hollow",
    "horizon", "island", "lantern", "level", "light", "linen", "little", "long", "meadow", "measure", "mirror",
    "morning", "narrow", "north", "number", "ocean", "open", "orbit", "paper", "pattern", "pebble", "quiet", "rail",
    "rain", "river", "round", "salt", "silver", "winter",
)  # fmt: skip
"""64 words: six bits of the hash choose one."""


class Piece(msgspec.Struct, frozen=True):
    """One delta. `kind` is `think` (of the block of reasoning at `index`), `redacted` (a whole one that cannot be read),
    `text`, `refusal`, `call` (id and name of the call at `index`) or `args` (a part of its arguments)."""

    kind: str
    text: str
    index: int = 0


class Call(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: str


class Answer(msgspec.Struct, frozen=True):
    """`text` is None where there are only calls. `usage` counts as OpenAI does: cached and reasoning are part of the
    sums."""

    pieces: tuple[Piece, ...]
    thoughts: tuple[str, ...]
    """Blocks of reasoning."""
    text: str | None
    calls: tuple[Call, ...]
    finish: str
    usage: TokenCounts
    tag: bytes = bytes(8)
    """Part of the ids of this answer; the same for the same question."""
    refusal: str | None = None
    """With what words the model declined, in place of a text."""
    stopped_by: str | None = None
    """The stop sequence that the text ran into."""


def answer(asked: Asked, script: Script, seed: int, tool_call_rate: float = 0.0) -> Answer:
    """The answer to a request, cut at its token limit."""
    choices = shake_128(b"%d " % seed + asked.key).digest(64)
    step = next_step(asked, script, choices, tool_call_rate)
    calls = tuple(finished(call, position, choices) for position, call in enumerate(step.calls))
    stopped_by = first_stop(step.text, asked.stop)
    said = call_pieces(calls) if calls else cut_up("text", before_stop(step.text, stopped_by))
    if script.refusal is not None:
        calls, said, stopped_by = (), cut_up("refusal", MARK + script.refusal), None
    whole = limited(asked, script, calls, thought(asked, script, choices) + said)
    stopped_by = stopped_by if not calls and whole.finish != "length" else None
    return msgspec.structs.replace(whole, tag=choices[32:40], stopped_by=stopped_by)


def empty_answer(asked: Asked) -> Answer:
    """The model stopped at once: a whole answer without a word."""
    return Answer((), (), "", (), "stop", TokenCounts(asked.prompt_tokens, 0))


def thought(asked: Asked, script: Script, choices: bytes) -> tuple[Piece, ...]:
    """The reasoning before the answer, as far as it is shown."""
    if not asked.shows_thinking:
        return ()
    blocks = script.thinking or ((MARK + prose(choices[::-1]),) if asked.thinks else ())
    shown = tuple(piece for index, block in enumerate(blocks) for piece in cut_up("think", block, index))
    return (*shown, Piece("redacted", "", len(blocks))) if script.redacted and asked.redacts else shown


def limited(asked: Asked, script: Script, calls: tuple[Call, ...], pieces: tuple[Piece, ...]) -> Answer:
    """The limit holds for reasoning and answer together; reasoning that is not shown comes first and may use it up
    (https://platform.openai.com/docs/guides/reasoning, "Allocating space for reasoning")."""
    hidden = 0 if any(piece.kind == "think" for piece in pieces) else asked.reasoning_tokens
    room = hidden + len(pieces) if asked.max_tokens is None else asked.max_tokens
    kept = pieces[: max(0, room - hidden)]
    cut = hidden > room or len(kept) < len(pieces)
    reasoning = min(room, hidden) + sum(1 for piece in kept if piece.kind == "think")
    counted = TokenCounts(asked.prompt_tokens, min(room, hidden + len(pieces)), reasoning=reasoning)
    return Answer(
        pieces=kept,
        thoughts=blocks_of_thought(kept),
        text=None if calls or script.refusal is not None else of_kind("text", kept),
        refusal=None if script.refusal is None else of_kind("refusal", kept),
        calls=cut_calls(calls, kept) if cut else calls,
        finish="length" if cut else finish_of(asked, calls),
        usage=script.usage or counted,
    )


def next_step(asked: Asked, script: Script, choices: bytes, tool_call_rate: float) -> Step:
    """What the model does in this turn: as scripted, else JSON or a call where one is due, else text."""
    if script.tokens is not None:
        return Step(text=MARK.strip() + " tok" * max(0, script.tokens - 1))
    if asked.tool_rounds < len(script.steps):
        return offered(script.steps[asked.tool_rounds], asked)
    if script.steps:
        return Step(text=MARK + "done")
    if asked.output_schema is not None:
        made = example(asked.output_schema, choices) if asked.output_schema else {"simulated": True}
        return Step(text=msgspec.json.encode(made).decode())
    called = tool_due(asked, choices, tool_call_rate)
    return Step(calls=(called,)) if called else Step(text=MARK + prose(choices))


def offered(step: Step, asked: Asked) -> Step:
    """A scripted step, marked as simulated; a call of a tool that the request does not offer becomes text that says
    so."""
    if step.calls:
        known = {tool.name for tool in asked.tools}
        missing = [call.name for call in step.calls if call.name not in known]
        return Step(text=f"{MARK}no such tool offered: {', '.join(missing)}") if missing else step
    return step if asked.output_schema is not None else Step(text=MARK + step.text)


def tool_due(asked: Asked, choices: bytes, tool_call_rate: float) -> WantedCall | None:
    """The call that the request demands, or that the hash chooses in a share of the prompts."""
    tools = {tool.name: tool for tool in asked.tools}
    chosen = None
    if asked.tool_choice.startswith("="):
        chosen = tools.get(asked.tool_choice[1:])
    elif tools and asked.tool_choice != "none":
        due = asked.tool_choice == "required" or (asked.tool_rounds == 0 and choices[0] < tool_call_rate * 256)
        chosen = list(tools.values())[choices[1] % len(tools)] if due else None
    if chosen is None:
        return None
    arguments: Any = example(chosen.parameters, choices)
    return WantedCall(chosen.name, msgspec.json.encode(arguments).decode())


def finished(call: WantedCall, position: int, choices: bytes) -> Call:
    return Call(f"call_sim{choices[32:40].hex()}{position}", call.name, call.arguments)


def prose(choices: bytes) -> str:
    """Two sentences of 8 to 23 words."""
    words = [WORDS[byte % 64] for byte in choices[: 8 + choices[63] % 16]]
    half = len(words) // 2
    return f"{' '.join(words[:half]).capitalize()}. {' '.join(words[half:]).capitalize()}."


def first_stop(text: str, stop: tuple[str, ...]) -> str | None:
    """The sequence that comes first in the text."""
    found = [sequence for sequence in stop if sequence in text]
    return min(found, key=text.find, default=None)


def before_stop(text: str, stopped_by: str | None) -> str:
    return text if stopped_by is None else text[: text.find(stopped_by)]


def cut_up(kind: str, text: str, index: int = 0) -> tuple[Piece, ...]:
    return tuple(Piece(kind, part, index) for part in PIECE.findall(text))


def blocks_of_thought(pieces: tuple[Piece, ...]) -> tuple[str, ...]:
    indexes = dict.fromkeys(piece.index for piece in pieces if piece.kind == "think")
    return tuple("".join(p.text for p in pieces if p.kind == "think" and p.index == index) for index in indexes)


def of_kind(kind: str, pieces: tuple[Piece, ...]) -> str:
    return "".join(piece.text for piece in pieces if piece.kind == kind)


def call_pieces(calls: tuple[Call, ...]) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    for index, call in enumerate(calls):
        pieces.append(Piece("call", "", index))
        pieces.extend(Piece("args", part, index) for part in PIECE.findall(call.arguments))
    return tuple(pieces)


def cut_calls(calls: tuple[Call, ...], kept: tuple[Piece, ...]) -> tuple[Call, ...]:
    """The calls as far as they got before the limit."""
    begun = {piece.index for piece in kept if piece.kind == "call"}
    return tuple(
        Call(call.id, call.name, "".join(piece.text for piece in kept if piece.kind == "args" and piece.index == index))
        for index, call in enumerate(calls)
        if index in begun
    )


def finish_of(asked: Asked, calls: tuple[Call, ...]) -> str:
    """A call that `tool_choice` names ends with `stop`, any other with `tool_calls`
    (https://platform.openai.com/docs/guides/structured-outputs, "Handling edge cases")."""
    return "tool_calls" if calls and not asked.tool_choice.startswith("=") else "stop"
