"""The call to a provider, and what its head says. In: a plan's step and the caller's request; headers. Out: `UpstreamRequest`; waits, ids, what may pass."""

import re
from email.utils import parsedate_to_datetime

from trunkline.catalog.types import Deadlines
from trunkline.execution.gateway import Gateway
from trunkline.execution.respond import Headers
from trunkline.execution.transport.types import UpstreamRequest
from trunkline.execution.ways import Sent
from trunkline.providers.accounts import Account, Endpoint, with_headers
from trunkline.providers.authorise import authorised
from trunkline.providers.surfaces import PLAIN, fitted

# What of a provider's head may pass: never cookies, the operator's organisation, or the limits of the operator's account (design.md 3.7).
SHOWN = frozenset({b"openai-processing-ms", b"openai-version", b"content-language", b"x-simulated"})
REQUEST_IDS = frozenset({b"x-request-id", b"request-id", b"apim-request-id", b"x-ms-request-id", b"cf-ray"})
_LONGEST_NUMBER = 12


def _in_any_case(name: bytes) -> bytes:
    return b"".join(
        [b"[%b%b]" % (letter.upper(), letter) if letter.isalpha() else letter for letter in map(_letter, name)]
    )


def _letter(code: int) -> bytes:
    return bytes((code,))


def _finder(names: frozenset[bytes]) -> re.Pattern[bytes]:
    """Finds these headers in a head. Most lines are passed over at their first letter, for which the pattern must not be one that ignores case."""
    first = b"".join(sorted({name[:1] + name[:1].upper() for name in names}))
    return re.compile(rb"\r\n(?=[%b])(%b):([^\r\n]*)" % (first, b"|".join(map(_in_any_case, sorted(names)))))


_SHOWN = _finder(SHOWN | REQUEST_IDS)


async def upstream_request(
    gateway: Gateway, account: Account, where: Endpoint, sent: Sent, deadlines: Deadlines, *, stream: bool
) -> UpstreamRequest:
    """The request of one attempt. Raises TransportError or ConfigError where a credential of the account gives no access."""
    headers, body = where.headers, sent.body
    if sent.headers:
        headers = with_headers(headers, sent.headers)
    if where.surface is not PLAIN:
        body, headers = fitted(where.surface, body, headers)
    if account.credential is not None:
        # Last of all: the signature is made of what is sent.
        headers = await authorised(
            account, where, headers, body, tokens=gateway.tokens, unix_s=lambda: gateway.clock.unix_ms() / 1000
        )
    # Before the first event of a stream the provider may think in silence, with its head already sent.
    first_s = deadlines.first_event_s if stream else deadlines.total_s
    return UpstreamRequest(
        where.origin,
        b"POST",
        where.target,
        headers,
        body,
        deadlines.connect_s,
        first_s,
        first_s,
        deadlines.total_s,
    )


def header(headers: Headers, wanted: bytes) -> str:
    """The value of a header; "" without one."""
    for name, value in headers:
        if name == wanted:
            return value.decode("latin-1")
    return ""


def passed(headers: Headers) -> Headers:
    """What the caller may see of a provider's head."""
    return [one for one in headers if one[0] in SHOWN]


def shown_of(head: bytes) -> Headers:
    """Those of a head in bytes that are among `SHOWN` and `REQUEST_IDS`."""
    found = _SHOWN.findall(head)
    return [(name.lower(), value.strip()) for name, value in found] if found else found


def request_id(headers: Headers) -> str:
    """The provider's own id of the call, under the first of the names in use that it sends."""
    for name, value in headers:
        if name in REQUEST_IDS:
            return value[:128].decode("latin-1")
    return ""


def retry_after_s(headers: Headers, now_ms: float) -> float | None:
    """`Retry-After` in seconds or as a date (RFC 9110 10.2.3), or OpenAI's finer `retry-after-ms`. Anything else is no wish at all."""
    fine = _number(header(headers, b"retry-after-ms"))
    if fine is not None:
        return fine / 1000
    text = header(headers, b"retry-after")
    number = _number(text)
    if number is not None:
        return number
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_ms / 1000)
    except (TypeError, ValueError, OverflowError):
        return None


def _number(text: str) -> float | None:
    plain = text.isascii() and len(text) <= _LONGEST_NUMBER and text.replace(".", "", 1).isdigit()
    return float(text) if plain else None
