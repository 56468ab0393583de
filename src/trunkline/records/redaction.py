"""Takes secrets out of text. In: text, rules (named regular expressions). Out: the same with `[redacted: NAME]` in their places.

A stream brings its text in pieces, and a secret may lie across several of them: so pieces of the same place in their events are looked at together.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec


class Rule(msgspec.Struct, frozen=True):
    """What must not be kept."""

    name: str
    pattern: "re.Pattern[str]"
    marker: str = ""
    """Where this is not in the text, there is nothing to find: most patterns have such a beginning, and looking for it is quick."""
    is_real: Callable[["re.Match[str]"], bool] | None = None
    """Whether what the pattern found is meant."""


def _rule(name: str, pattern: str, marker: str = "", is_real: Callable[["re.Match[str]"], bool] | None = None) -> Rule:
    return Rule(name, re.compile(pattern), marker, is_real)


def is_card(found: "re.Match[str]") -> bool:
    """Not the end of a longer number, and of the right check digit."""
    before = found.string[found.start() - 1 : found.start()]
    return not (before.isdigit() or before == ".") and passes_luhn(found[0])


def passes_luhn(text: str) -> bool:
    """The check digit of card numbers: https://www.iso.org/standard/70484.html, annex B."""
    digits = [int(letter) for letter in text if letter.isdigit()]
    total = 0
    for at, digit in enumerate(reversed(digits)):
        twice = digit * 2 if at % 2 else digit
        total += twice - 9 if twice > 9 else twice
    return total % 10 == 0


def begins_a_word(found: "re.Match[str]") -> bool:
    """Nothing that belongs to it stands before it."""
    return not found.string[found.start() - 1 : found.start()].isalnum()


def _secret(name: str, marker: str, rest: str) -> Rule:
    """It begins with a marker of its own. No look behind: a pattern that begins with letters is looked for quickly."""
    return _rule(name, re.escape(marker) + rest, marker, begins_a_word)


_LETTERS = "[A-Za-z0-9_-]"
BUILT_IN: dict[str, tuple[Rule, ...]] = {
    "keys": (
        _secret("key", "sk-", f"{_LETTERS}{{16,}}"),
        *(_secret("key", marker, "[A-Za-z0-9]{16,}") for marker in ("sk_live_", "sk_test_", "rk_live_", "rk_test_")),
        _secret("key", "AIza", f"{_LETTERS}{{30,}}"),
        *(_secret("key", marker, "[A-Z0-9]{16}(?![A-Za-z0-9])") for marker in ("AKIA", "ASIA")),
        *(_secret("token", f"gh{letter}_", "[A-Za-z0-9]{30,}") for letter in "pousr"),
        _secret("token", "github_pat_", "[A-Za-z0-9_]{22,}"),
        _secret("token", "glpat-", f"{_LETTERS}{{16,}}"),
        _secret("token", "xox", "[abeoprs]-[A-Za-z0-9-]{10,}"),
        *(_secret("token", marker, "[A-Za-z0-9]{24,}") for marker in ("hf_", "gsk_", "xai-", "pplx-", "r8_")),
        # With a look behind: each of many beginnings in one long word would be followed to its end.
        _rule("token", rf"(?<!{_LETTERS})eyJ{_LETTERS}{{8,}}\.eyJ{_LETTERS}{{8,}}\.{_LETTERS}{{8,}}", "eyJ"),
        *(_secret("token", marker, "[A-Za-z0-9._~+/-]{16,}=*") for marker in ("Bearer ", "bearer ")),
        _rule(
            "private key",
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
            "PRIVATE KEY",
        ),
    ),
    # It begins with a class of characters, not with a look behind: so the search for its first is quick.
    "cards": (_rule("card number", r"[2-6](?:[ -]?\d){12,18}(?![\d.]\d|\d)", "", is_card),),
    "emails": (
        _rule(
            "e-mail",
            r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])",
            "@",
        ),
    ),
}


def rules_of(built_in: Sequence[str], own: Sequence[tuple[str, str]]) -> tuple[Rule, ...]:
    """The operator's choice: names of `BUILT_IN`, and names with regular expressions."""
    chosen = [rule for name in built_in for rule in BUILT_IN[name]]
    return (*chosen, *(_rule(name, pattern) for name, pattern in own))


def scrubbed_text(text: str, rules: Sequence[Rule]) -> str:
    """Every rule, one after another."""
    for rule in rules:
        if rule.marker in text:
            text = rule.pattern.sub(partial(_instead, rule), text)
    return text


def _instead(rule: Rule, found: "re.Match[str]") -> str:
    return found[0] if rule.is_real is not None and not rule.is_real(found) else f"[redacted: {rule.name}]"


class _Piece:
    """A string in an event of a stream."""

    __slots__ = ("holder", "key", "line", "text")

    def __init__(self, line: int, holder: Any, key: Any, text: str) -> None:
        self.line = line
        self.holder = holder
        self.key = key
        self.text = text


def scrubbed_stream(text: str, rules: Sequence[Rule]) -> str:
    """Server-sent events without what lies across several of them. What cannot be read as JSON stays."""
    lines = text.split("\n")
    events: dict[int, Any] = {}
    places: dict[tuple[Any, ...], list[_Piece]] = {}
    for at, line in enumerate(lines):
        if not line.startswith("data:"):
            continue
        try:
            events[at] = msgspec.json.decode(line[5:].encode("utf-8", "replace"))
        except msgspec.DecodeError:
            continue
        for place, piece in _strings(at, events[at], ()):
            places.setdefault(place, []).append(piece)
    changed: set[int] = set()
    for pieces in places.values():
        first = pieces[0].text
        # The same in each event: an id or a model, not a text in pieces.
        if len(pieces) > 1 and any(piece.text != first for piece in pieces):
            changed |= _scrub_pieces(pieces, rules)
    for at in changed:
        lines[at] = "data: " + msgspec.json.encode(events[at]).decode() + ("\r" if lines[at].endswith("\r") else "")
    return "\n".join(lines)


_NO_TEXTS = frozenset(
    {"id", "object", "model", "type", "role", "system_fingerprint", "service_tier", "item_id", "obfuscation"}
)
"""Keys in events of the four protocols that hold no text in pieces."""


def _strings(line: int, value: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], _Piece]]:
    """Every string in an event, with its place."""
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(inner, str):
                if key not in _NO_TEXTS:
                    yield (*place, key), _Piece(line, value, key, inner)
            elif isinstance(inner, (dict, list)):
                yield from _strings(line, inner, (*place, key))


def _scrub_pieces(pieces: list[_Piece], rules: Sequence[Rule]) -> set[int]:
    """The lines that were changed."""
    changed: set[int] = set()
    for rule in rules:
        whole = "".join([piece.text for piece in pieces])
        if rule.marker not in whole:
            continue
        found = [one for one in rule.pattern.finditer(whole) if rule.is_real is None or rule.is_real(one)]
        # From the last on: what lies before a change keeps its place.
        for one in reversed(found):
            changed |= _take_out(pieces, one.start(), one.end(), f"[redacted: {rule.name}]")
    return changed


def _take_out(pieces: list[_Piece], start: int, end: int, instead: str) -> set[int]:
    changed: set[int] = set()
    at = 0
    # The lengths of what came before, as they were: changes behind the start do not move it.
    for piece in pieces:
        size = len(piece.text)
        first, last = max(start - at, 0), min(end - at, size)
        at += size
        if first < last:
            piece.text = piece.text[:first] + instead + piece.text[last:]
            piece.holder[piece.key] = piece.text
            instead = ""
            changed.add(piece.line)
        if at >= end:
            break
    return changed
