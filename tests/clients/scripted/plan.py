"""A scripted model: a conversation of any protocol in one form, and what the model does with it. In: `Conversation`. Out: `Plan`.

It does what the newest user message with directives says: `<<say TEXT>>`, `<<call TOOL {json}>>`, `<<calls [..]>>` and `<<json {..}>>`
are steps, of which step i is played after i rounds of tools; `<<think TEXT>>` goes before the next step; `<<usage IN OUT>>`,
`<<fail STATUS TIMES [RETRY_AFTER]>>`, `<<cut N>>` and `<<errmid N>>` (after N pieces of text) hold for all. In a text stand
`{{rev:abc}}` (cba, so that an echo cannot pass), `{{tool:REGEX}}` (found in the newest tool results), `{{proto}}`, `{{model}}`,
`{{nmsg}}`, `{{tools}}` (their names) and `{{nimg}}`. Without a directive it answers the smallest instance of a schema, or an echo.
"""

import json
import re
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

DIRECTIVE = re.compile(r"<<(say|calls|call|json|think|usage|fail|cut|errmid)\s+(.*?)>>", re.DOTALL)
PLACE = re.compile(r"\{\{(\w+(?::.*?)?)\}\}", re.DOTALL)
MAX_DEPTH = 8


@dataclass
class Message:
    role: str
    text: str = ""
    calls: int = 0
    results: list[str] = field(default_factory=list)
    images: int = 0


@dataclass
class Tool:
    name: str
    schema: dict[str, Any]
    custom: bool = False
    """It takes a text instead of an object."""
    namespace: str | None = None


@dataclass
class Conversation:
    protocol: str
    model: str
    stream: bool
    raw: dict[str, Any]
    system: str = ""
    messages: list[Message] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    forced: str | None = None
    """`any`, `none`, or the name of a tool that has to be called."""
    schema: dict[str, Any] | None = None
    """Of a structured answer; empty for any object."""

    def offered(self, name: str | None) -> Tool | None:
        return next((tool for tool in self.tools if tool.name == name), None)


@dataclass
class ToolCall:
    id: str
    tool: Tool
    arguments: Any

    @property
    def text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else compact(self.arguments)


@dataclass
class Plan:
    think: str = ""
    text: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    input_tokens: int = 1
    output_tokens: int = 1
    fail: tuple[int, str | None] | None = None
    """Status, and seconds of `retry-after`."""
    cut: int | None = None
    error_after: int | None = None

    @property
    def reasoning_tokens(self) -> int:
        return len(self.think) // 4


def plan(talk: Conversation, failed: Counter[str]) -> Plan:
    """What the model does now. `failed` counts how often each scripted failure was played, over all calls."""
    made = Plan()
    message, found = _directives(talk)
    steps: list[tuple[str, str, str]] = []
    thought = ""
    for kind, words in found:
        if kind == "think":
            thought = words
        elif kind in ("say", "call", "calls", "json"):
            steps.append((kind, words, thought))
            thought = ""
        else:
            _condition(made, kind, words, f"{talk.model} {message}", failed)
    if steps:
        rounds = _rounds(talk)
        kind, words, made.think = steps[min(rounds, len(steps) - 1)]
        _step(talk, made, kind, words, rounds, over=rounds >= len(steps))
    if not steps or (made.text == "ok" and not made.calls):
        _unasked(talk, made, echo=not steps)
    if not any(kind == "usage" for kind, _ in found):
        made.input_tokens = count(talk)
        made.output_tokens = max(
            1, (len(made.text) + len(made.think) + sum(len(call.text) for call in made.calls)) // 4
        )
    return made


def count(talk: Conversation) -> int:
    """Tokens of a request, as this model counts them."""
    letters = sum(len(message.text) + sum(map(len, message.results)) for message in talk.messages)
    return max(1, (len(talk.system) + letters) // 4)


def text_of(content: Any) -> str:
    """The text of any content: a string, blocks, or the output of a tool."""
    if content is None:
        return ""
    if isinstance(content, list):
        return "\n".join(text_of(part) for part in content)
    if isinstance(content, dict):
        known = (
            content[key] for key in ("text", "output", "content", "result", "stdout") if content.get(key) is not None
        )
        found = next(known, None)
        return json.dumps(content) if found is None else text_of(found)
    return str(content)


def pieces(text: str, size: int = 8) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def smallest(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """The smallest instance of a JSON schema."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return "x"
    if "$ref" in schema:
        node = root
        for part in schema["$ref"].lstrip("#/").split("/"):
            node = node.get(part, {}) if isinstance(node, dict) else {}
        return smallest(node, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            ways = [one for one in schema[key] if one.get("type") != "null"] or schema[key]
            return smallest(ways[0], root, depth + 1)
    return _smallest_of_type(schema, root, depth)


def _smallest_of_type(schema: dict[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "string")
    kind = kind.lower()
    if kind == "object":
        needed = schema.get("required")
        fields = (schema.get("properties") or {}).items()
        return {name: smallest(one, root, depth + 1) for name, one in fields if needed is None or name in needed}
    if kind == "array":
        return [smallest(schema.get("items", {}), root, depth + 1)] * schema.get("minItems", 0)
    return {"integer": schema.get("minimum", 1), "number": 1.0, "boolean": True, "null": None}.get(kind, "x")


def _directives(talk: Conversation) -> tuple[str, list[tuple[str, str]]]:
    """The newest user message that has any, and what it has."""
    for message in reversed(talk.messages):
        found = DIRECTIVE.findall(message.text) if message.role == "user" else []
        if found:
            return message.text, [(kind, words.strip()) for kind, words in found]
    return "", []


def _rounds(talk: Conversation) -> int:
    """Turns with tool calls since the message with the directives."""
    rounds = 0
    for message in reversed(talk.messages):
        if message.role == "user" and DIRECTIVE.search(message.text):
            break
        rounds += message.calls > 0
    return rounds


def _condition(made: Plan, kind: str, words: str, key: str, failed: Counter[str]) -> None:
    if kind == "usage":
        made.input_tokens, made.output_tokens = map(int, words.split())
    elif kind == "cut":
        made.cut = int(words)
    elif kind == "errmid":
        made.error_after = int(words)
    else:
        status, times, *after = words.split()
        failed[key] += 1
        if failed[key] <= int(times):
            made.fail = (int(status), after[0] if after else None)


def _step(talk: Conversation, made: Plan, kind: str, words: str, rounds: int, *, over: bool) -> None:
    filled = PLACE.sub(lambda place: _filled(place, talk), words)
    if kind == "say":
        made.text = filled
    elif over and kind != "json":
        made.text = "ok"
    elif kind == "json":
        tool = _only_tool(talk)
        if tool is not None and talk.schema is None and rounds == 0:
            made.calls = [_call(tool, _loads(filled))]
        else:
            made.text = filled
    else:
        made.calls = _called(talk, kind, filled)
        made.text = "" if made.calls else "ok"


def _called(talk: Conversation, kind: str, words: str) -> list[ToolCall]:
    """Calls of the tools that the request offers; a name may be several, of which the first that is offered counts."""
    if kind == "calls":
        wanted = [(one["name"], json.dumps(one["args"])) for one in _loads(words)]
    else:
        name, _, arguments = words.partition(" ")
        wanted = [(name, arguments.strip() or "{}")]
    made = []
    for names, arguments in wanted:
        tool = next(filter(None, map(talk.offered, names.split("|"))), None)
        if tool is not None:
            made.append(_call(tool, arguments if tool.custom else _loads(arguments)))
    return made


def _only_tool(talk: Conversation) -> Tool | None:
    """The tool that a structured answer goes into."""
    if talk.offered(talk.forced):
        return talk.offered(talk.forced)
    if talk.forced != "none" and len(talk.tools) == 1:
        return talk.tools[0]
    return talk.tools[-1] if talk.forced == "any" and talk.tools else None


def _unasked(talk: Conversation, made: Plan, *, echo: bool) -> None:
    """What the model does when no step says it."""
    tool = talk.tools[0] if talk.forced == "any" and talk.tools else talk.offered(talk.forced)
    if talk.schema is not None:
        made.text = json.dumps(smallest(talk.schema) if talk.schema else {"ok": True})
    elif tool is not None:
        made.text, made.calls = "", [_call(tool, smallest(tool.schema))]
    elif echo:
        asked = (message.text for message in reversed(talk.messages) if message.role == "user" and message.text)
        made.text = "echo: " + next(asked, "").strip()[:60]


def _filled(place: re.Match[str], talk: Conversation) -> str:
    kind, _, rest = place[1].partition(":")
    if kind == "rev":
        return rest[::-1]
    if kind == "tool":
        results = (result for message in reversed(talk.messages) for result in reversed(message.results))
        found = next(filter(None, (re.search(rest, result) for result in results)), None)
        return found[0] if found else "NO-TOOL-MATCH"
    known = {
        "model": talk.model,
        "proto": talk.protocol,
        "nmsg": len(talk.messages),
        "tools": " ".join(tool.name for tool in talk.tools),
        "nimg": sum(message.images for message in talk.messages),
    }
    return str(known.get(kind, place[0]))


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        # opencode puts its message in quotes.
        return json.loads(text.replace('\\"', '"'))


def _call(tool: Tool, arguments: Any) -> ToolCall:
    return ToolCall("call_" + uuid.uuid4().hex[:16], tool, arguments)
