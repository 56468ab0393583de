"""What Claude models take, by generation: thinking modes, sampling, system messages, prefill.

In: a model's name. Out: yes or no. Names that are not Claude's are taken to be able to do everything. Page:
https://platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting
"""

import re

NAME = re.compile(r"claude-(?P<family>[a-z]+)-(?P<major>\d)(?:-(?P<minor>\d)(?!\d))?")
OLD_NAME = re.compile(r"claude-(?:3|2|instant)")
OLD, UNKNOWN = (3, 0), None


def generation(model: str) -> tuple[int, int] | None:
    """(4, 5) of `claude-sonnet-4-5-20250929`; None where the name says nothing."""
    if OLD_NAME.search(model):
        return OLD
    found = NAME.search(model)
    return (int(found["major"]), int(found["minor"] or 0)) if found else UNKNOWN


def takes_budget(model: str) -> bool:
    """`thinking.type: enabled`: "Claude 4.7 and later models do not support it"."""
    found = generation(model)
    return found is None or found < (4, 7)


def takes_adaptive(model: str) -> bool:
    """`thinking.type: adaptive`: up to Claude 4.5, "extended thinking is the only available thinking mode"."""
    found = generation(model)
    return found is None or found > (4, 5)


def thinks_unasked(model: str) -> bool:
    """From generation 5 on thinking is on unless it is disabled
    (https://platform.claude.com/docs/en/build-with-claude/thinking)."""
    found = generation(model)
    return found is not None and found >= (5, 0)


def omits_thinking(model: str) -> bool:
    """Where `thinking.display` is not set, these models give the signature of a block without its text (same page)."""
    found = generation(model)
    return found is not None and found >= (4, 7)


def takes_sampling(model: str) -> bool:
    """From 4.7 on, another value than the default is a 400
    (https://platform.claude.com/docs/en/about-claude/models/migration-guide)."""
    return takes_budget(model)


def takes_both_samplings(model: str) -> bool:
    """`temperature` and `top_p` together: not from Claude Opus 4.1 on (same page)."""
    found = generation(model)
    return found is None or found < (4, 1)


def takes_system_turns(model: str) -> bool:
    """https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages: from Opus 4.8 on."""
    found = generation(model)
    return found is None or (found >= (4, 8) and "sonnet-5" not in model)


def takes_prefill(model: str) -> bool:
    """From 4.6 on a conversation must end with a user turn (migration guide, "Prefill removed")."""
    found = generation(model)
    return found is None or found < (4, 6)
