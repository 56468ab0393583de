"""Which provider a path belongs to, which protocol it speaks there, and what is asked of it.

In: an ASGI scope. Out: a frozen `Route`, or None. Paths: docs/simulate.md, "Paths and providers".
"""

import re
from typing import Any

import msgspec

NAME = r"(?:/(?P<name>[^/]+))?"
VERTEX = r"(?:/projects/[^/]+/locations/[^/]+)?(?:/publishers/[^/]+)?"
# Tried in this order. A group that a pattern does not have is taken as absent.
PATHS = (
    ("bedrock", re.compile(NAME + r"/model/(?P<model>[^/]+)/(?P<rest>converse(?:-stream)?)")),
    ("azure", re.compile(NAME + r"/openai(?:/v1)?(?:/deployments/(?P<model>[^/]+))?(?P<rest>/.*)")),
    ("gemini", re.compile(NAME + rf"/v1(?:beta1?|alpha)?{VERTEX}/models/(?P<model>[^:]+):(?P<rest>[A-Za-z]+)")),
    ("gemini", re.compile(NAME + r"/v1(?:beta1?|alpha)(?P<rest>/.*)")),
    ("anthropic", re.compile(NAME + r"/v1(?P<rest>/messages(?:/.*)?)")),
    ("openai", re.compile(NAME + r"/v1(?P<rest>/.*)")),
)

MODELS_BY_HEADER = {b"anthropic-version": "anthropic", b"x-goog-api-key": "gemini"}


class Route(msgspec.Struct, frozen=True):
    dialect: str
    provider: str
    model: str | None
    """Where the path has it: Azure's deployment, Gemini's model."""
    rest: str
    """What is left of the path, e.g. `/chat/completions`, or the operation, e.g. `generateContent`."""


def find_route(scope: dict[str, Any]) -> Route | None:
    for dialect, pattern in PATHS:
        match = pattern.fullmatch(scope["path"])
        if match:
            found = match.groupdict()
            spoken = dialect_of(dialect, found["rest"], scope)
            return Route(spoken, found["name"] or spoken, found.get("model") or None, found["rest"])
    return None


def dialect_of(dialect: str, rest: str, scope: dict[str, Any]) -> str:
    """The lists of models of three vendors have the same path, told apart by the headers that only one has."""
    if dialect != "openai" or not rest.startswith("/models"):
        return dialect
    sent = {name for name, _ in scope["headers"]}
    return next((spoken for header, spoken in MODELS_BY_HEADER.items() if header in sent), dialect)
