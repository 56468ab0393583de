"""The turns of a request, fitted to a target: parts that it knows, carries that it can read, roles in an order that it takes.

In: `Settling`. Out: the turns, the same objects where nothing has to change; losses are noted in it.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from trunkline.ir.parts import Media, Opaque, Part, Refusal, Role, Text, Thinking, ToolCall, ToolResult, Turn
from trunkline.protocols.codec import CHAT, CONVERSE, MESSAGES, RESPONSES
from trunkline.protocols.fields import FIELDS
from trunkline.protocols.settling import Settling
from trunkline.protocols.tools import fit_id, wrapped_call

_replace = msgspec.structs.replace
_JSON_LINE = Text("Answer with one JSON object and nothing else.")


def settle_turns(settling: Settling) -> tuple[Turn, ...]:
    """The turns as the target shall see them."""
    before = settling.request.turns
    turns: list[Turn] = []
    leading = True
    for turn in before:
        leading = leading and turn.role in ("system", "developer")
        settled = _turn(settling, turn, leading)
        if settled is not None:
            turns.append(settled)
    if not settling.target.quirks.media_in_results:
        turns = _with_media_behind_results(settling, turns)
    _ask_for_json(settling, turns)
    if settling.target.quirks.alternate_roles:
        turns = _alternating(turns)
    return before if _same(turns, before) else tuple(turns)


def _turn(settling: Settling, turn: Turn, leading: bool) -> Turn | None:
    if not turn.name and _is_plain(turn.parts):
        plain_role = _role(settling, turn, leading)
        return turn if plain_role == turn.role else Turn(plain_role, turn.parts, "", turn.carry)
    parts = [found for part in turn.parts if (found := _SETTLE[type(part)](settling, part)) is not None]
    if not parts and turn.parts:
        return None
    role, name = _role(settling, turn, leading), turn.name
    if name and settling.target.protocol != CHAT:
        settling.note("name")
        name = ""
    if role == turn.role and name == turn.name and _same(parts, turn.parts):
        return turn
    return Turn(role, tuple(parts), name, turn.carry)


def _is_plain(parts: tuple[Part, ...]) -> bool:
    """Texts that no target takes in another way."""
    return all(type(part) is Text and part.cache is None and not part.citations for part in parts)


def _same(found: Sequence[object], before: Sequence[object]) -> bool:
    return len(found) == len(before) and all(map(operator.is_, found, before))


def _role(settling: Settling, turn: Turn, leading: bool) -> Role:
    if turn.role not in ("system", "developer"):
        return turn.role
    quirks = settling.target.quirks
    if not leading and not quirks.system_in_middle:
        settling.emulate("system_in_middle", "sent as the user's text, in its place")
        return "user"
    if quirks.system_role == "user":
        settling.emulate("system", "sent as the user's text: the model has no system prompt")
    return turn.role if quirks.system_role == "any" else quirks.system_role


def _text(settling: Settling, part: Text) -> Text:
    part = _unmarked(settling, part)
    if part.citations and settling.target.protocol != RESPONSES:
        kept = tuple(citation for citation in part.citations if settling.understands(citation.carry))
        if len(kept) != len(part.citations):
            settling.note("citations")
            part = _replace(part, citations=kept)
    return part


def _media(settling: Settling, part: Media) -> Media | Text:
    quirks = settling.target.quirks
    if part.file_id and settling.request.origin != settling.target.protocol:
        settling.refuse("file_id", "the file is in another vendor's store; send its content as base64, or a URL")
    if part.text:
        if settling.target.protocol in (MESSAGES, CONVERSE):
            return part
        settling.note("text_file")
        return Text(f"{part.name}\n\n{part.text}" if part.name else part.text)
    if part.kind not in quirks.media:
        settling.refuse_if_ruled(part.kind)
        settling.refuse(part.kind, f"the model takes no {part.kind}; choose one that does")
    if part.url and not quirks.media_urls:
        settling.refuse(part.kind, "the provider does not fetch URLs; send the content as base64")
    unmarked: Media = _unmarked(settling, part)
    return unmarked


def _thinking(settling: Settling, part: Thinking) -> Thinking | None:
    back = settling.target.quirks.thinking_back
    if back == "never":
        settling.drop("thinking", "the model wants none of its earlier reasoning")
        return None
    if settling.understands(part.carry):
        return part
    if back == "text" and part.text:
        return _replace(part, carry=None)
    settling.note("others_thinking")
    return None


def _may_return(settling: Settling, part: ToolCall | ToolResult) -> bool:
    """What the provider ran goes back to it, from another protocol's caller only together with the tool: it may be refused without."""
    if settling.request.origin != settling.target.protocol and settling.request.web_search is None:
        return False
    return settling.understands(part.carry)


def _tool_call(settling: Settling, part: ToolCall) -> ToolCall | None:
    if part.kind == "server" and not _may_return(settling, part):
        settling.note("server_call")
        return None
    part = _unmarked(settling, part)
    if part.kind == "custom" and not settling.target.quirks.custom_tools:
        part = wrapped_call(part)
    if part.kind != "server" and settling.request.origin != settling.target.protocol:
        name = settling.called[part.id] = settling.name(part.namespace, part.name)
        part = part if name == part.name else _replace(part, name=name, namespace="")
    call_id = fit_id(part.id, settling.target.quirks.tool_id)
    return part if call_id == part.id else _replace(part, id=call_id)


def _tool_result(settling: Settling, part: ToolResult) -> ToolResult | None:
    if part.kind == "server" and not _may_return(settling, part):
        settling.note("server_call")
        return None
    part = _unmarked(settling, part)
    parts = tuple(found for inner in part.parts if (found := _SETTLE[type(inner)](settling, inner)) is not None)
    if any(a is not b for a, b in zip(parts, part.parts, strict=False)) or len(parts) != len(part.parts):
        part = _replace(part, parts=parts)
    if part.kind == "custom" and not settling.target.quirks.custom_tools:
        part = _replace(part, kind="function")
    if part.is_error and settling.target.protocol in (CHAT, RESPONSES):
        settling.note("is_error")
        part = _replace(part, parts=_marked_as_error(part.parts))
    if part.is_error and not settling.target.quirks.error_flag:
        settling.emulate("is_error", FIELDS["is_error"].rules[CHAT].says)
        part = _replace(part, parts=_marked_as_error(part.parts), is_error=False)
    name = settling.called.get(part.call_id, part.name)
    if name != part.name and part.name:
        part = _replace(part, name=name)
    call_id = fit_id(part.call_id, settling.target.quirks.tool_id)
    return part if call_id == part.call_id else _replace(part, call_id=call_id)


def _refusal(settling: Settling, part: Refusal) -> Refusal | Text:
    if settling.target.protocol in (CHAT, RESPONSES):
        return part
    settling.note("refusal")
    return Text(part.text)


def _opaque(settling: Settling, part: Opaque) -> Opaque | None:
    if settling.understands(part.carry):
        return part
    settling.drop(part.kind, "a part that only its vendor knows")
    return None


_SETTLE: Mapping[type, Callable[[Settling, Any], Any]] = {
    Text: _text,
    Media: _media,
    Thinking: _thinking,
    ToolCall: _tool_call,
    ToolResult: _tool_result,
    Refusal: _refusal,
    Opaque: _opaque,
}


def _unmarked(settling: Settling, part: Any) -> Any:
    if part.cache is None or settling.target.quirks.cache_marks:
        return part
    settling.unmarked()
    return _replace(part, cache=None)


def _marked_as_error(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    first = parts[0] if parts else None
    if isinstance(first, Text):
        if first.text[:5].lower() == "error":
            return parts
        return (_replace(first, text=f"Error: {first.text}"), *parts[1:])
    return (Text("Error:"), *parts)


def _with_media_behind_results(settling: Settling, turns: list[Turn]) -> list[Turn]:
    """Media of tool results in a user turn of their own, behind the last result: Chat wants all results right behind their calls."""
    if not any(type(part) is ToolResult for turn in turns for part in turn.parts):
        return turns
    found: list[Turn] = []
    waiting: list[Part] = []
    for turn in turns:
        has_results = any(isinstance(part, ToolResult) for part in turn.parts)
        if waiting and not has_results:
            found.append(Turn("user", tuple(waiting)))
            waiting = []
        if has_results:
            turn, media = _without_media(turn)
            waiting += media
        found.append(turn)
    if waiting:
        found.append(Turn("user", tuple(waiting)))
    if len(found) != len(turns):
        settling.note("media_in_results")
    return found


def _without_media(turn: Turn) -> tuple[Turn, list[Part]]:
    """The turn with results that have no media, and the media, each behind a line that says which call they belong to."""
    left: list[Part] = []
    moved: list[Part] = []
    for part in turn.parts:
        media = [inner for inner in part.parts if isinstance(inner, Media)] if isinstance(part, ToolResult) else []
        if media and isinstance(part, ToolResult):
            moved += (Text(f"Of the result of {part.name or part.call_id}:"), *media)
            part = _replace(part, parts=tuple(inner for inner in part.parts if not isinstance(inner, Media)))
        left.append(part)
    return (_replace(turn, parts=tuple(left)), moved) if moved else (turn, moved)


def _ask_for_json(settling: Settling, turns: list[Turn]) -> None:
    """Anthropic's and Amazon's protocols have formats with a schema only (https://platform.claude.com/docs/en/build-with-claude/structured-outputs,
    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_OutputFormat.html)."""
    asked = settling.request.format
    if asked is None or asked.kind != "json_object" or settling.target.protocol not in (MESSAGES, CONVERSE):
        return
    settling.note("json_object")
    behind = next((at for at, turn in enumerate(turns) if turn.role != "system"), len(turns))
    turns.insert(behind, Turn("system", (_JSON_LINE,)))


def _alternating(turns: list[Turn]) -> list[Turn]:
    """Consecutive turns of a role made one, but for system turns, whose borders stay."""
    joined: list[Turn] = []
    for turn in turns:
        last = joined[-1] if joined else None
        if last is not None and last.role == turn.role and turn.role in ("user", "assistant"):
            joined[-1] = Turn(last.role, last.parts + turn.parts, last.name, last.carry)
        else:
            joined.append(turn)
    return joined
