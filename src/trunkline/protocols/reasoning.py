"""How hard to think, in the words that an offer takes. In: `Reasoning` as the caller said it. Out: the same with effort or budget, not both.

Low, medium and high are 20, 50 and 80 % of the output limit where there is only a budget (https://docs.zenmux.ai/guide/advanced/reasoning).
"""

import msgspec

from trunkline.ir.request import Reasoning
from trunkline.protocols.codec import Quirks

SHARES_PERCENT = {"minimal": 10, "low": 20, "medium": 50, "high": 80, "xhigh": 95, "max": 100}
_ORDER = tuple(SHARES_PERCENT)
_USUAL_LIMIT = 16_384
"""Output tokens, where neither the caller nor the offer says a limit."""


def fit(asked: Reasoning, quirks: Quirks, limit: int | None) -> tuple[Reasoning | None, str]:
    """What to send, and in words what is lost by it ("" if nothing). `limit` is the output limit of the request in tokens."""
    if quirks.reasoning == "none":
        return None, "" if asked.enabled is False else "the model does not reason"
    if asked.enabled is False:
        return _off(asked, quirks)
    if not (asked.enabled or asked.effort or asked.budget_tokens or asked.summary):
        # Only how reasoning is kept was said: whether there is any stays the model's default.
        return _with(asked), ""
    if quirks.reasoning == "toggle":
        lost = "the model only knows on and off" if asked.effort or asked.budget_tokens else ""
        return _with(asked, enabled=True), lost
    if quirks.reasoning == "budget":
        return _budgeted(asked, quirks, limit or _USUAL_LIMIT)
    return _with_effort(asked, quirks, limit or _USUAL_LIMIT)


def effort_of(budget_tokens: int, limit: int) -> str:
    """The effort whose share of the limit is nearest."""
    percent = 100 * budget_tokens / limit
    return min(_ORDER, key=lambda effort: abs(SHARES_PERCENT[effort] - percent))


def _off(asked: Reasoning, quirks: Quirks) -> tuple[Reasoning, str]:
    if quirks.can_disable_reasoning:
        return _with(asked, enabled=False), ""
    if quirks.reasoning == "budget":
        return _with(
            asked, enabled=True, budget_tokens=quirks.min_budget_tokens
        ), "the model always reasons; it gets the least budget"
    return _with(asked, enabled=None, effort=quirks.efforts[0]), "the model always reasons; it gets the least effort"


def _budgeted(asked: Reasoning, quirks: Quirks, limit: int) -> tuple[Reasoning | None, str]:
    # The budget is a part of the output limit: https://platform.claude.com/docs/en/build-with-claude/extended-thinking
    if limit <= quirks.min_budget_tokens:
        return None, f"reasoning takes at least {quirks.min_budget_tokens} tokens, and the output limit is {limit}"
    wanted = asked.budget_tokens or limit * SHARES_PERCENT.get(asked.effort or "medium", 50) // 100
    budget = max(quirks.min_budget_tokens, min(wanted, limit - 1))
    lost = f"the budget became {budget}" if asked.budget_tokens and budget != asked.budget_tokens else ""
    return _with(asked, enabled=True, budget_tokens=budget), lost


def _with_effort(asked: Reasoning, quirks: Quirks, limit: int) -> tuple[Reasoning, str]:
    wanted = asked.effort or (effort_of(asked.budget_tokens, limit) if asked.budget_tokens else "")
    if not wanted:
        return _with(asked, enabled=asked.enabled), ""
    effort = _nearest(wanted, quirks.efforts)
    if asked.effort and effort != asked.effort:
        return _with(asked, effort=effort), f"the effort became `{effort}`"
    return _with(asked, effort=effort), "" if asked.effort else f"the budget became the effort `{effort}`"


def _nearest(wanted: str, efforts: tuple[str, ...]) -> str:
    if wanted in efforts or wanted not in _ORDER:
        return wanted
    at = _ORDER.index(wanted)
    return min(efforts, key=lambda effort: abs(_ORDER.index(effort) - at))


def _with(
    asked: Reasoning, *, enabled: bool | None = None, effort: str = "", budget_tokens: int | None = None
) -> Reasoning:
    return msgspec.structs.replace(asked, enabled=enabled, effort=effort, budget_tokens=budget_tokens)
