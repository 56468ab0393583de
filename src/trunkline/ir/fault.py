"""An error as a provider tells it, and whose fault it is. In: what a codec read of an error body. Out: what `execution` decides by."""

from enum import StrEnum

import msgspec


class Blame(StrEnum):
    """Who can mend it."""

    CLIENT = "client"
    """The caller's request: the error goes back as it is, no other offer would take it either."""
    OPERATOR = "operator"
    """Our key, credit or set-up at this provider: the next offer is tried, and the operator sees it."""
    PROVIDER = "provider"
    """The provider is busy or broken: the next offer is tried."""


class Fault(msgspec.Struct, frozen=True):
    """The provider's own words. Empty strings where it said nothing."""

    message: str = ""
    code: str = ""
    type: str = ""
    param: str | None = None
    retry_after_s: float | None = None
    """Where the body tells it (Google's `RetryInfo`); others tell it in a header."""
