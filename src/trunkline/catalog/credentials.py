"""What a key or a header to a provider may look like, and where a written one comes from. In: texts of the operator. Out: the fault in words, or "".

A fault never repeats the value. Header names: https://www.rfc-editor.org/rfc/rfc9110#name-field-names.
"""

import re

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

CREDENTIALS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "api-key", "x-api-key", "x-goog-api-key", "x-amz-security-token"}
)
"""Names under which providers look for a key."""
OF_THE_CONNECTION = frozenset(
    {
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
    }
    | {"trailer", "upgrade", "expect", "proxy-connection", "accept-encoding"}
)
"""Names that say how this very request is framed and to whom it goes; the transport writes them."""


def fault_of_key(key: str) -> str:
    """Why this cannot be a key, with the mend."""
    if not (key.isascii() and key.isprintable()) or " " in key:
        return "holds blanks, control or non-ASCII characters, which no key has; copy it anew"
    return ""


def fault_of_header(name: str, value: str) -> str:
    """Why this header cannot be sent with every request, with the mend."""
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        return f"{name!r} is no header name: take letters, digits and hyphens"
    if lower in OF_THE_CONNECTION:
        return f"{name!r} is written by the gateway itself for each request: take it out"
    if lower in CREDENTIALS:
        return f'{name!r} is for a credential: put the key into `api_key`, and `auth = "header:{lower}"` where it goes there'
    if not (value.isascii() and value.isprintable()):
        return f"the value of {name!r} must not hold line ends, control or non-ASCII characters: copy it anew"
    return ""


def names_a_secret(text: str) -> bool:
    """Whether a value stands for one that is kept elsewhere: `env:NAME` or `file:PATH`."""
    return text.startswith(("env:", "file:"))
