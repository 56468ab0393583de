"""Tells whether two names mean one model. In: names as APIs, invoices and we write them. Out: the words that make the difference.

`gpt-4o-mini-2024-07-18`, `gpt 4o mini 0718 Inp glbl Tokens` and `openai/gpt-4o-mini` are one; so are `USE1-Claude4Sonnet-input-tokens` and
`anthropic.claude-sonnet-4-20250514-v1:0`. What is left over after dates and words of billing must be the same.
"""

import re

_DATES = re.compile(r"20\d\d-\d\d-\d\d|20\d{6}|(?<!\d)\d{4}(?!\d)")
_REGION = re.compile(r"^(?:MP:)?[A-Z]{2,4}\d[-_:](?:[A-Z]{3}\d_)?")
"""Of AWS usage types, such as `USE1-` (https://docs.aws.amazon.com/cur/latest/userguide/Lineitem-columns.html)."""
_VERSION = re.compile(r"[-.@ ]v\d+(?::\d+)*$")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
# Kinds of token, regions and deployments, as invoices name them.
_BILLING = frozenset(
    """
    input output inp inpt outp opt tokens token text cached cchd cache read write hit predictions prediction glbl global regional regnl rgnl data zone dz
    dzone ds standard std batch count units unit amazon bedrock edition mp k m usd thinking generate content online short long context anthropic openai
    google meta us eu apac azure vertex ai open api response image audio video on demand ondemand cross region ga 0
    """.split()  # noqa: SIM905 - a list of seventy literals is no easier to read
)


def words(name: str) -> str:
    """What names of one model have in common."""
    bare = _REGION.sub("", name.rpartition("/")[2].strip())
    bare = _VERSION.sub("", _DATES.sub(" ", bare))
    found = [word.lower() for word in _WORDS.findall(bare)]
    left = [word for word in found if word not in _BILLING]
    # Numbers keep their order: gpt-4.5 is not gpt-5.4.
    return " ".join([*sorted(word for word in left if word.isalpha()), *(word for word in left if word.isdigit())])
