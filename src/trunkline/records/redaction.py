"""Takes secrets out of text. In: text, rules (named regular expressions). Out: the same with `[redacted: NAME]` in their places.

A stream brings its text in pieces, and a secret may lie across several of them: so pieces of the same place in their events are looked at together.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

WINDOW_CHARS = 2048
"""A rule of the operator's own looks at no more at once, so that a pattern that goes back and forth comes to an end."""
OVERLAP_CHARS = 1024
"""What such a rule finds may be so long and is found whole wherever it lies."""
_LONGEST_CHARS = 16 * 1024
"""What it has found may go on for so long."""
MIN_SECRET_CHARS = 8
"""A shorter key ("none", "ollama") is a word, and no secret."""
_MAX_DEPTH = 100
"""Of a place in an event."""


class Rule(msgspec.Struct, frozen=True):
    """What must not be kept."""

    name: str
    pattern: "re.Pattern[str]"
    marker: str = ""
    """Where this is not in the text, there is nothing to find: most patterns have such a beginning, and looking for it is quick."""
    real_end: Callable[["re.Match[str]"], int] | None = None
    """Where what is meant ends, of what the pattern found; 0: nothing is."""
    is_own: bool = False
    """The operator's, so nobody knows how long it takes."""
    instead: str = ""
    """Of `[redacted: NAME]`."""

    @property
    def shown(self) -> str:
        return self.instead or f"[redacted: {self.name}]"


def _rule(name: str, pattern: str, marker: str = "", real_end: Callable[["re.Match[str]"], int] | None = None) -> Rule:
    return Rule(name, re.compile(pattern), marker, real_end)


_CARD_SHAPE = re.compile(r"(?:\d{13,19}|\d{4}(?:[ -]\d{4}){3}|\d{4}[ -]\d{6}[ -]\d{5})(?!\d)")
"""As cards are written, where another number follows (`4111 1111 1111 1111 12/27`)."""


def card_end(found: "re.Match[str]") -> int:
    """Not the end of a longer number, and of the right check digit."""
    before = found.string[found.start() - 1 : found.start()]
    if before.isdigit() or before == ".":
        return 0
    if passes_luhn(found[0]):
        return found.end()
    shaped = _CARD_SHAPE.match(found.string, found.start(), found.end())
    return shaped.end() if shaped is not None and passes_luhn(shaped[0]) else 0


def passes_luhn(text: str) -> bool:
    """The check digit of card numbers: https://www.iso.org/standard/70484.html, annex B."""
    digits = [int(letter) for letter in text if letter.isdigit()]
    total = 0
    for at, digit in enumerate(reversed(digits)):
        twice = digit * 2 if at % 2 else digit
        total += twice - 9 if twice > 9 else twice
    return total % 10 == 0


def _secret(name: str, marker: str, rest: str) -> Rule:
    """It begins with a marker of its own, with no letter or digit before it: looked at behind the marker, since a pattern
    that begins with letters is looked for quickly."""
    literal = re.escape(marker)
    return _rule(name, rf"{literal}(?<![^\W_]{literal}){rest}", marker)


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
        # PEM (https://www.rfc-editor.org/rfc/rfc7468), encrypted PEM with its `Proc-Type` lines
        # (https://www.rfc-editor.org/rfc/rfc1421#section-4.6) and PGP (https://www.rfc-editor.org/rfc/rfc9580#section-6.2).
        # Cut off, it goes as far as its JSON string does.
        _rule(
            "private key",
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r'(?:[^-"\\]|\\.|-(?!----))*+(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?',
            "PRIVATE KEY",
        ),
    ),
    # It begins with a class of characters, not with a look behind: so the search for its first is quick.
    "cards": (_rule("card number", r"[2-6](?:[ -]?\d){12,18}(?![\d.]\d|\d)", "", card_end),),
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
    return (*chosen, *(Rule(name, re.compile(pattern), is_own=True) for name, pattern in own))


def literal_rules(secrets: Iterable[str]) -> tuple[Rule, ...]:
    """For the operator's keys, whatever they look like; as JSON writes them, too."""
    written = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1], secret.replace("/", "\\/"))}
    # The longest first: one key may be the beginning of another.
    known = sorted((form for form in written if len(form) >= MIN_SECRET_CHARS), key=lambda form: (-len(form), form))
    return tuple(Rule("key", re.compile(re.escape(form)), form, instead="[key]") for form in known)


def scrubbed(text: str, rules: Sequence[Rule]) -> str:
    """A body of any kind. First what lies across events: else the beginning of it would be taken out alone, and its end be kept."""
    if _is_stream(text):
        text = scrubbed_stream(text, rules)
    elif text[:64].lstrip().startswith("["):
        text = scrubbed_array(text, rules)
    return scrubbed_text(text, rules)


def _is_stream(text: str) -> bool:
    return text.startswith(("data:", "event:", ":", "id:")) or "\ndata:" in text[:4096]


def scrubbed_text(text: str, rules: Sequence[Rule]) -> str:
    """Every rule, one after another."""
    for rule in rules:
        if rule.marker not in text:
            continue
        kept, at = list[str](), 0
        for start, end in _found(rule, text):
            kept += (text[at:start], rule.shown)
            at = end
        if at:
            text = "".join((*kept, text[at:]))
    return text


def _found(rule: Rule, text: str) -> Iterator[tuple[int, int]]:
    """From where to where. What is not meant is passed by one character, as what is meant may begin within it."""
    if rule.is_own:
        yield from _found_in_windows(rule.pattern, text)
        return
    at = 0
    while (found := rule.pattern.search(text, at)) is not None:
        end = found.end() if rule.real_end is None else rule.real_end(found)
        if end:
            yield found.start(), end
        at = end or found.start() + 1


def _found_in_windows(pattern: "re.Pattern[str]", text: str) -> Iterator[tuple[int, int]]:
    at, size = 0, len(text)
    while at < size:
        stop = min(at + WINDOW_CHARS, size)
        # What begins behind this may go on behind the window: it is for the next one.
        last = stop if stop == size else stop - OVERLAP_CHARS
        while at < last and (found := pattern.search(text, at, stop)) is not None and found.start() < last:
            start, end = found.span()
            if end == stop < size:
                longer = pattern.match(text, start, start + _LONGEST_CHARS)
                end = end if longer is None else longer.end()
            if end > start:
                yield start, end
            at = max(end, start + 1)
        at = max(at, last)


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
    for at, line in enumerate(lines):
        if not line.startswith("data:"):
            continue
        try:
            events[at] = msgspec.json.decode(line[5:].encode("utf-8", "replace"))
        except (msgspec.DecodeError, RecursionError):
            continue
    for at in _scrub_events(events, rules):
        lines[at] = "data: " + msgspec.json.encode(events[at]).decode() + ("\r" if lines[at].endswith("\r") else "")
    return "\n".join(lines)


def scrubbed_array(text: str, rules: Sequence[Rule]) -> str:
    """As Gemini streams without `alt=sse`: one JSON array, each event an element. It may be cut off."""
    spans, events = _elements(text)
    kept, at = list[str](), 0
    for number in sorted(_scrub_events(events, rules)):
        start, end = spans[number]
        kept += (text[at:start], json.dumps(events[number]))
        at = end
    return "".join((*kept, text[at:]))


_BETWEEN = re.compile(r"[\s,]*")


def _elements(text: str) -> tuple[list[tuple[int, int]], dict[int, Any]]:
    """Those that are whole, and where they stand."""
    decoder, spans, events = json.JSONDecoder(), list[tuple[int, int]](), dict[int, Any]()
    at = text.index("[") + 1
    while True:
        between = _BETWEEN.match(text, at)
        start = at if between is None else between.end()
        try:
            value, at = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            return spans, events
        events[len(spans)] = value
        spans.append((start, at))


def _scrub_events(events: dict[int, Any], rules: Sequence[Rule]) -> set[int]:
    """Those that were changed."""
    places: dict[tuple[Any, ...], list[_Piece]] = {}
    for at, event in events.items():
        for place, piece in _strings(at, event, ()):
            places.setdefault(place, []).append(piece)
    changed: set[int] = set()
    for pieces in places.values():
        first = pieces[0].text
        # The same in each event: an id or a model, not a text in pieces.
        if len(pieces) > 1 and any(piece.text != first for piece in pieces):
            changed |= _scrub_pieces(pieces, rules)
    return changed


_NO_TEXTS = frozenset(
    {"id", "object", "model", "type", "role", "system_fingerprint", "service_tier", "item_id", "obfuscation"}
)
"""Keys in events of the four protocols that hold no text in pieces."""


_PARTS = ("output_index", "content_index", "summary_index", "contentBlockIndex")
"""Keys that tell which of several texts an event goes on with, besides `index`: texts may take turns."""


def _part(value: dict[str, Any], position: int | None) -> tuple[Any, ...]:
    """Which of several. An element of a list that does not say so is the one of its position: Gemini leaves an `index` of 0 out."""
    told = [(key, value[key]) for key in _PARTS if isinstance(value.get(key), int)]
    if not told and isinstance(value.get("item_id"), str):
        # Only then: there are servers that make up another id for each event.
        told = [("item_id", value["item_id"])]
    index = value.get("index")
    return (index if isinstance(index, int) else position, *told)


def _strings(
    line: int, value: Any, place: tuple[Any, ...], position: int | None = None
) -> Iterator[tuple[tuple[Any, ...], _Piece]]:
    """Every string in an event, with its place. `position` is that of an element in its list."""
    if len(place) > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        place = (*place, _part(value, position))
        for key, inner in value.items():
            if not isinstance(inner, str):
                yield from _strings(line, inner, (*place, key))
            elif key not in _NO_TEXTS:
                yield (*place, key), _Piece(line, value, key, inner)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            if isinstance(inner, str):
                yield (*place, at), _Piece(line, value, at, inner)
            else:
                yield from _strings(line, inner, (*place, "[]") if isinstance(inner, dict) else (*place, at), at)


def _scrub_pieces(pieces: list[_Piece], rules: Sequence[Rule]) -> set[int]:
    """The lines that were changed."""
    changed: set[int] = set()
    for rule in rules:
        whole = "".join([piece.text for piece in pieces])
        if rule.marker not in whole:
            continue
        # From the last on: what lies before a change keeps its place.
        for start, end in reversed(list(_found(rule, whole))):
            changed |= _take_out(pieces, start, end, rule.shown)
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
