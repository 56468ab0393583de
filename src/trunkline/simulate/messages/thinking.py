"""Thinking: how it may be asked for, and whether what comes back is what was given.

In: a body, the model, the `Arrival`. Out: nothing, or `RefusedError`. Pages:
https://platform.claude.com/docs/en/build-with-claude/extended-thinking, .../thinking-troubleshooting and
.../preserved-thinking/fix-bound-to-a-different-conversation
"""

from fnmatch import fnmatchcase
from typing import Any

import msgspec

from trunkline.simulate.arrival import Arrival
from trunkline.simulate.messages import models
from trunkline.simulate.messages.content import normal_turns
from trunkline.simulate.messages.errors import refuse
from trunkline.simulate.seals import Seal, opened, prefix_of

LEAST_BUDGET = 1024
KINDS = ("adaptive", "between_tools", "disabled", "enabled")
THINKING = ("thinking", "redacted_thinking")
DOCS = "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
TOOL_ID = "toolu_sim"


def check_thinking(body: dict[str, Any], model: str, betas: str) -> None:
    wanted = body.get("thinking")
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in KINDS:
        tags = ", ".join(map(repr, KINDS))
        raise refuse(f"thinking: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")
    if kind == "disabled":
        return
    if wanted.get("display", "omitted") not in ("omitted", "summarized", None):
        raise refuse(f"thinking.{kind}.display: Input should be 'omitted' or 'summarized'")
    if kind != "enabled":
        if not models.takes_adaptive(model):
            raise refuse("adaptive thinking is not supported on this model")
    else:
        check_budget(body, model, betas)
    check_sampling(body)
    if kind == "enabled":
        check_last_turn(body["messages"])


def is_thinking(body: dict[str, Any], model: str) -> bool:
    kind = (body.get("thinking") or {}).get("type")
    return kind in ("enabled", "adaptive", "between_tools") or (kind is None and models.thinks_unasked(model))


def is_omitted(body: dict[str, Any], model: str) -> bool:
    """Whether blocks of thinking have a signature and no text."""
    display = (body.get("thinking") or {}).get("display")
    return display == "omitted" or (display is None and models.omits_thinking(model))


def check_budget(body: dict[str, Any], model: str, betas: str) -> None:
    if not models.takes_budget(model):
        raise refuse(
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    budget = body["thinking"].get("budget_tokens")
    if budget is None:
        raise refuse("thinking.enabled.budget_tokens: Field required")
    if not isinstance(budget, int) or budget < LEAST_BUDGET:
        raise refuse("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    interleaved = "interleaved-thinking" in betas and body.get("tools")
    if budget >= body.get("max_tokens", budget + 1) and not interleaved:
        where = "#max-tokens-and-context-window-size"
        raise refuse(f"`max_tokens` must be greater than `thinking.budget_tokens`. {DOCS}{where}")


def check_sampling(body: dict[str, Any]) -> None:
    """ "Thinking isn't compatible with temperature or top_k modifications"; `top_p` between 1 and 0.95."""
    if body.get("temperature") not in (None, 1):
        raise refuse(f"`temperature` may only be set to 1 when thinking is enabled. {DOCS}")
    if body.get("top_k") is not None:
        raise refuse(f"`top_k` must be unset when thinking is enabled. {DOCS}")
    if body.get("top_p") is not None and body["top_p"] < 0.95:
        raise refuse(f"`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled. {DOCS}")


def check_last_turn(messages: list[dict[str, Any]]) -> None:
    """Within a loop of tool calls, the turn that is answered must begin with its thinking."""
    turns = normal_turns(messages)
    if turns[-1]["role"] == "assistant":
        raise refuse("messages: prefilling assistant messages is not supported when thinking is enabled")
    results = [block for block in turns[-1]["content"] if block.get("type") == "tool_result"]
    if not results or len(turns) < 2:
        return
    first = turns[-2]["content"][0]["type"]
    if first not in THINKING:
        raise refuse(
            f"messages.{len(turns) - 2}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{first}`. When `thinking` is enabled, a final `assistant` message must start with a thinking block "
            "(preceeding the lastmost set of `tool_use` and `tool_result` blocks). We recommend you include thinking "
            f"blocks from previous turns. To avoid this requirement, disable `thinking`. {DOCS}"
        )


def check_seals(messages: list[dict[str, Any]], arrival: Arrival, model: str, told: list[Any]) -> None:
    """Every block of thinking must be one that was given out, and stand where it stood."""
    turns = normal_turns(messages)
    bound = any(fnmatchcase(model, pattern) for pattern in arrival.behaviour.bound_models)
    for n, turn in enumerate(turns):
        found = [
            (f"messages.{n}.content.{m}", open_block(f"messages.{n}.content.{m}", block, arrival))
            for m, block in enumerate(turn["content"])
            if block.get("type") in THINKING
        ]
        if turn["role"] == "assistant" and found:
            check_order(found)
            check_calls(found[-1], turn)
            check_last_block(n, turn)
        if bound and found:
            check_prefix(found[0], prefix_of(msgspec.json.encode([*told, turns[:n]], order="sorted")))


def open_block(where: str, block: dict[str, Any], arrival: Arrival) -> Seal:
    kind = block["type"]
    name = "signature" if kind == "thinking" else "data"
    if not isinstance(block.get(name), str):
        raise refuse(f"{where}.{kind}.{name}: Field required")
    covered = str(block.get("thinking", "")).encode()
    mark = opened(arrival.secret, "thinking" if kind == "thinking" else "redacted", block[name], covered)
    if mark is None:
        raise refuse(f"{where}: Invalid `{name}` in `{kind}` block")
    return mark


def check_order(found: list[tuple[str, Seal]]) -> None:
    """Blocks of one answer come back all together, in their order."""
    expected = 0
    for n, (where, mark) in enumerate(found):
        ends = n + 1 == len(found) or found[n + 1][1].tag != mark.tag
        if mark.ordinal != expected or (ends and mark.ordinal != mark.count - 1):
            raise refuse(
                f"{where}: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be "
                "modified. These blocks must remain as they were in the original response."
            )
        expected = 0 if ends else expected + 1


def check_calls(last: tuple[str, Seal], turn: dict[str, Any]) -> None:
    """Thinking and calls that both came from here must have come in the same answer."""
    where, mark = last
    ids = [block["id"] for block in turn["content"] if block.get("type") == "tool_use"]
    if any(id_.startswith(TOOL_ID) and not id_.startswith(TOOL_ID + mark.tag.hex()) for id_ in ids):
        raise refuse(f"{where}: Invalid `signature` in `thinking` block")


def check_last_block(n: int, turn: dict[str, Any]) -> None:
    if turn["content"][-1]["type"] in THINKING:
        raise refuse(f"messages.{n}: The final block in an assistant message cannot be `thinking`.")


def check_prefix(first: tuple[str, Seal], prefix: bytes) -> None:
    where, mark = first
    if mark.prefix != prefix:
        raise refuse(
            f"{where}: Invalid `signature` in `thinking` block. The block is bound to a different conversation. "
            'Remove the block, or set `thinking.block_binding.prefix_mismatch_behavior` to "drop_block".'
        )
