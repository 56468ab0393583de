"""Tool calls in the words of small models: told apart from text while it streams, read leniently, checked against the
tool's schema.

In: text as it comes, and the tools of the request. Out: text that is surely text, and calls. No IO.
Small models write calls as plain JSON, in a code fence, or in the tags that they were trained on, instead of as calls
(https://github.com/ggml-org/llama.cpp/issues/12034, https://github.com/ollama/ollama/issues/12174).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

TAGS = ("<tool_call>", "<tools>", "```", "\n{")
"""What may stand before a call in the middle of an answer. A bare object counts at the start of a line."""
_WRAPPING = re.compile(r"\s*(?:<tool_call>|<tools>|```[a-z_]*\s*\n|```(?:json|xml|tool_call)?(?=\s*[{\[<]))\s*")
_OPEN_WRAPPING = re.compile(r"\s*(?:```[a-z_]{0,12}\s*)?$")
_CLOSING = re.compile(r"\s*(?:</?tool_call>|</?tools>|```|\]|,)\s*")
_DECODER = msgspec.json.Decoder()


class Tool(msgspec.Struct, frozen=True):
    """A function that the caller offers. `parameters` is its JSON schema as it came."""

    name: str
    description: str
    parameters: dict[str, Any]


class Call(msgspec.Struct, frozen=True):
    """What the model wants called. `arguments` is raw JSON; `fault` says why it cannot be used, "" where it can."""

    name: str
    arguments: str
    fault: str = ""


class Sniffer:
    """Parts an answer into text and a possible call. Lives as long as one answer.

    `feed` and `end` give the text that can go out at once; what may still become a call is held in `held`.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._heads = _heads(names)
        self._at_start = True
        self.held = ""
        self.calling = False
        """True once what is held is a call; from then on nothing goes out as text."""

    def feed(self, text: str) -> str:
        """Take more of the answer. The result is text, and sure to be."""
        self.held += text
        return "" if self.calling else "".join(self._sure_text())

    def end(self) -> str:
        """What is left as text when the answer ends."""
        text, self.held = ("" if self.calling else self.held), (self.held if self.calling else "")
        return text

    def _sure_text(self) -> Iterator[str]:
        while self.held and not self.calling:
            start = self._candidate()
            if start:
                yield self._release(start)
                continue
            verdict = _could_be_call(self.held, self._heads) if start == 0 else False
            if verdict is None:
                return
            self.calling = verdict
            if not verdict:
                yield self._release(max(1, len(self.held) if start is None else self._first_tag_length()))

    def _candidate(self) -> int | None:
        """Where in `held` a call may begin: an index, or None where nowhere."""
        if self._at_start and self.held.lstrip()[:1] in ("", "{", "["):
            return 0
        places = [_first_place(self.held, tag) for tag in TAGS]
        return min((place for place in places if place is not None), default=None)

    def _first_tag_length(self) -> int:
        return next((len(tag) for tag in TAGS if self.held.startswith(tag)), 1)

    def _release(self, length: int) -> str:
        text, self.held = self.held[:length], self.held[length:]
        self._at_start = self._at_start and not text.strip()
        return text


def _first_place(text: str, tag: str) -> int | None:
    """Where `tag` stands in `text`, or where its beginning stands at the end of `text`."""
    found = text.find(tag)
    if found >= 0:
        return found
    for length in range(min(len(tag) - 1, len(text)), 0, -1):
        if text.endswith(tag[:length]):
            return len(text) - length
    return None


def _heads(names: tuple[str, ...]) -> tuple[str, ...]:
    """How a call may begin, blanks taken out."""
    shapes = (
        '{{"name":"{}"',
        '{{{{"name":"{}"',
        '{{"type":"function","function":{{"name":"{}"',
        '{{"function":"{}"',
        '{{"tool":"{}"',
    )
    flat = tuple(shape.format(name) for shape in shapes for name in names)
    return flat + tuple("[" + head for head in flat)


def _could_be_call(text: str, heads: tuple[str, ...]) -> bool | None:
    """True: it is a call. False: it cannot be one. None: too early to say."""
    bare = _unwrapped(text)
    if _begins_tag(text) or _begins_tag(bare) or _OPEN_WRAPPING.match(bare):
        return None
    squeezed = "".join(bare.split())
    if any(squeezed.startswith(head) for head in heads):
        return True
    return None if any(head.startswith(squeezed) for head in heads) else False


def _begins_tag(text: str) -> bool:
    """Whether the text may still become an opening tag."""
    start = text.strip()
    return any(tag != start and tag.startswith(start) for tag in TAGS)


def _unwrapped(text: str) -> str:
    """The text after its opening tags and fences."""
    while match := _WRAPPING.match(text):
        text = text[match.end() :]
    return text


def read_calls(text: str, tools: Mapping[str, Tool]) -> list[Call]:
    """All calls in a text that `Sniffer` found to be one. One whose JSON is broken is there with a `fault`."""
    calls = []
    rest = _unwrapped(text)
    while rest and (call := _first_call(rest, tools)):
        calls.append(call[0])
        rest = _after(call[1])
    return calls


def _after(text: str) -> str:
    """What follows a call: closing tags, fences and commas taken away, openings of the next one too."""
    while match := (_CLOSING.match(text) or _WRAPPING.match(text)):
        text = text[match.end() :]
    return text


def _first_call(text: str, tools: Mapping[str, Tool]) -> tuple[Call, str] | None:
    text = text.lstrip(" \t\r\n[")
    if text.startswith("{{"):
        # A template's doubled brace, kept by the model; its end is doubled too, or not.
        text = text[1:]
    whole, rest = _balanced(text)
    name = _name_in(whole or text, tools)
    if name is None:
        return None
    return _call_of(name, whole, tools), rest.lstrip("} \t\r\n") if text.startswith("{") and rest.startswith(
        "}"
    ) else rest


def _balanced(text: str) -> tuple[str, str]:
    """The first whole JSON object and what follows it; ("", text) where it does not end."""
    if not text.startswith("{"):
        return "", ""
    depth = Depth()
    for index, char in enumerate(text):
        if depth.step(char) == 0:
            return text[: index + 1], text[index + 1 :]
    return "", ""


class Depth:
    """How deep in objects and arrays a JSON text is. Lives as long as one value is read."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def step(self, char: str) -> int:
        """Take one character; the depth after it, or -1 inside a string."""
        if self._in_string:
            self._in_string = self._escaped or char != '"'
            self._escaped = char == "\\" and not self._escaped
            return -1
        if char == '"':
            self._in_string = True
            return -1
        self._depth += (char in "{[") - (char in "}]")
        return self._depth


_NAME = re.compile(r'"(?:name|function|tool)"\s*:\s*"([^"]*)"')


def _name_in(text: str, tools: Mapping[str, Tool]) -> str | None:
    match = _NAME.search(text)
    return match[1] if match and match[1] in tools else None


def _call_of(name: str, whole: str, tools: Mapping[str, Tool]) -> Call:
    try:
        value = _DECODER.decode(whole)
    except msgspec.DecodeError as error:
        return Call(name, "", f"not JSON: {error}")
    arguments = _arguments_of(value)
    text = msgspec.json.encode(arguments).decode()
    return Call(name, text, schema_fault(arguments, tools[name].parameters))


def _arguments_of(value: Any) -> Any:
    inner = value.get("function")
    holder = inner if isinstance(inner, dict) else value
    arguments: Any = next((holder[key] for key in ("arguments", "parameters", "args") if key in holder), {})
    if isinstance(arguments, str):
        try:
            return _DECODER.decode(arguments)
        except msgspec.DecodeError:
            return arguments
    return arguments


def load_checker() -> None:
    """Import what `schema_fault` needs: a third of a second and more, so that an event loop has it done in a thread."""
    # Late: it belongs to the extra that brings the local model.
    import jsonschema
    import referencing

    del jsonschema, referencing


def schema_fault(value: Any, schema: Mapping[str, Any]) -> str:
    """Why a value does not fit a JSON schema; "" where it does, or where the schema itself is none.

    The schema is the caller's: nothing is fetched for it, and its patterns, which could run for hours, are not tried.
    """
    import referencing
    from jsonschema import exceptions, validators

    base: Any = validators.validator_for(schema, default=validators.Draft202012Validator)
    # Any: the stubs leave `extend` untyped.
    extend: Any = validators.extend
    checker = extend(base, {"pattern": _pass, "patternProperties": _pass})
    try:
        base.check_schema(schema)
        error = exceptions.best_match(checker(schema, registry=referencing.Registry()).iter_errors(value))
    except (exceptions.SchemaError, exceptions.UnknownType, referencing.exceptions.Unresolvable, RecursionError):
        return ""
    return error.message if error else ""


def _pass(*_: Any) -> Iterator[Any]:
    """A keyword that is not checked."""
    return iter(())
