"""Whether a regular expression may go back and forth for long. In: the expression. Out: what is wrong with it, in words; "" where nothing is.

It looks at the form alone, so it is stricter than need be. An atomic group, `(?>...)`, never goes back: what it holds counts for nothing around it.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

# The parser of `re` itself; no type stubs know it by the name that it has since Python 3.11.
_parser: Any = import_module("re._parser")
_compiler: Any = import_module("re._compiler")

_MANY = 4096
"""Stands for a repetition without end; a rule looks at fewer characters at once (`redaction.WINDOW_CHARS`)."""
_MAX_WAYS = 4096 * 16
"""In which the repetitions of a row may share one text among them."""
_ALPHABET = [*(chr(code) for code in range(256)), "中", "٣", "\u2003"]
"""With a letter, a digit and a space of other alphabets, for the classes that know them."""
_ALL = frozenset(_ALPHABET)
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT")
_SINGLE = ("LITERAL", "NOT_LITERAL", "ANY", "IN")

NESTED = "repeats what itself repeats or has a choice, which may go back and forth without end; write the inner part as (?>...)"
ROW = "has too many repetitions in a row that find the same characters; put something else between them, or write them as (?>...)"

_REFERS = "refers to a group, which rules cannot"
_NOT_LOOKED_AT = {
    "GROUPREF": _REFERS,
    "GROUPREF_EXISTS": _REFERS,
    "FLAGS": "has flags for a part alone; write them for the whole, as in (?i)...",
}


def danger_of(pattern: str) -> str:
    """Of one that compiles."""
    try:
        tree = _parser.parse(pattern)
        return _Look(tree.state).into(tree, is_repeated=False)
    except RecursionError:
        return NESTED


class _Look:
    """At one pattern."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def into(self, sequence: Any, *, is_repeated: bool) -> str:
        """A row of parts, one after another."""
        parts = list(_flat(sequence))
        for at, (name, value) in enumerate(parts):
            may_stretch = is_repeated and not self._is_ended(parts[at:])
            danger = self._inside(name, value, may_stretch=may_stretch, is_repeated=is_repeated)
            if danger or self._ways(parts[at:]) > _MAX_WAYS:
                return danger or ROW
        return ""

    def _is_ended(self, parts: Sequence[tuple[str, Any]]) -> bool:
        """What follows the first part says where that ends, as the dot in `(?:[0-9]{1,3}[.]){3}` does."""
        return len(parts) > 1 and _is_needed(*parts[1]) and not self._letters(parts[0]) & self._letters(parts[1])

    def _inside(self, name: str, value: Any, *, may_stretch: bool, is_repeated: bool) -> str:
        if name in _REPEATS or name == "POSSESSIVE_REPEAT":
            low, high, body = value
            if may_stretch and name in _REPEATS and low != high:
                return NESTED
            return self.into(body, is_repeated=is_repeated or high > 1)
        if name == "BRANCH":
            if is_repeated and not self._is_told_apart(value[1]):
                return NESTED
            return next(filter(None, (self.into(one, is_repeated=is_repeated) for one in value[1])), "")
        # Of these nothing outside goes back into what they hold.
        if name == "ATOMIC_GROUP":
            return self.into(value, is_repeated=False)
        if name in ("ASSERT", "ASSERT_NOT"):
            return self.into(value[1], is_repeated=False)
        return _NOT_LOOKED_AT.get(name, "")

    def _ways(self, parts: Sequence[tuple[str, Any]]) -> int:
        """How many ways there are for the first part, and those behind it, to share a text that all of them find."""
        ways = _choices(*parts[0])
        if ways == 1:
            return 1
        own = self._letters(parts[0])
        for part in parts[1:]:
            if not own & self._letters(part):
                if _is_needed(*part):
                    break
                continue
            ways *= _choices(*part)
        return ways

    def _is_told_apart(self, branches: Sequence[Any]) -> bool:
        """The first character says which of them it is."""
        seen: set[str] = set()
        for branch in branches:
            first = next(_flat(branch), None)
            if first is None or first[0] not in _SINGLE:
                return False
            letters = self._letters(first)
            if seen & letters:
                return False
            seen |= letters
        return True

    def _letters(self, part: tuple[str, Any]) -> frozenset[str]:
        """What may stand in the text where this part is."""
        name, value = part
        if name in _SINGLE:
            return self._letters_of_one(name, value)
        if name in _REPEATS or name == "POSSESSIVE_REPEAT":
            return self._letters_in([value[2]])
        if name == "BRANCH":
            return self._letters_in(value[1])
        if name == "ATOMIC_GROUP":
            return self._letters_in([value])
        return frozenset() if name in ("AT", "ASSERT", "ASSERT_NOT") else _ALL

    def _letters_in(self, sequences: Sequence[Any]) -> frozenset[str]:
        return frozenset().union(*(self._letters(part) for sequence in sequences for part in _flat(sequence)))

    def _letters_of_one(self, name: str, value: Any) -> frozenset[str]:
        op = getattr(_parser, name)
        if name == "ANY" or _is_beyond(value):
            return _ALL
        one = _compiler.compile(_parser.SubPattern(self._state, [(op, value)]))
        return frozenset(letter for letter in _ALPHABET if one.match(letter))


def _flat(sequence: Any) -> Iterator[tuple[str, Any]]:
    """The parts by name; groups that only group are no parts."""
    for op, value in sequence:
        if str(op) != "SUBPATTERN":
            yield str(op), value
        elif value[1] or value[2]:
            yield "FLAGS", None
        else:
            yield from _flat(value[3])


def _choices(name: str, value: Any) -> int:
    """In how many ways it may be had."""
    if name in _REPEATS:
        low, high, _ = value
        return min(int(high) - int(low), _MANY - 1) + 1
    return len(value[1]) if name == "BRANCH" else 1


def _is_needed(name: str, value: Any) -> bool:
    if name in _REPEATS or name == "POSSESSIVE_REPEAT":
        return int(value[0]) > 0
    return name in _SINGLE or name == "BRANCH"


def _is_beyond(value: Any) -> bool:
    """A character behind the alphabet that is looked at."""
    if isinstance(value, (list, tuple)):
        return any(_is_beyond(inner) for inner in value)
    return isinstance(value, int) and value > 255
