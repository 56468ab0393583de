"""What a caller is told of its limits. In: refusals and rates of `accounts.shared`. Out: `RequestError`s, headers in the words of its protocol.

https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers, https://platform.claude.com/docs/en/api/rate-limits#response-headers
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from trunkline.accounts.shared import RateState, Refusal
from trunkline.accounts.terms import KeyTerms
from trunkline.errors import InsufficientCredit, Overloaded, QuoteExceeded, RateLimited, RejectNoCredit, RequestError
from trunkline.execution.respond import Headers
from trunkline.pricing.money import usd
from trunkline.protocols.codec import MESSAGES

_AWAY_S = 1.0


def error_of(refusal: Refusal, terms: KeyTerms, amount_pico_usd: int) -> RequestError:
    """Of a claim. `amount_pico_usd` is the request's worst case."""
    named = terms.named(refusal.name)
    if refusal.kind in ("unknown", "unavailable"):
        return unknown_yet()
    if refusal.kind in ("budget", "credits"):
        return _of_money(refusal, terms, named, amount_pico_usd)
    wait_s = refusal.retry_after_s
    again = "" if wait_s is None else f" Try again in {max(wait_s, 0.1):.1f} s."
    if refusal.kind == "concurrency":
        most = terms.places[0].most
        return RateLimited(
            f"{most} requests are under way, as many as this key may have at once.{again}", retry_after_s=wait_s
        )
    rate = next(rate for rate in terms.rates if rate.name == refusal.name)
    return RateLimited(f"This key may use {rate.per_minute} {rate.kind} a minute.{again}", retry_after_s=wait_s)


def _of_money(refusal: Refusal, terms: KeyTerms, named: str, amount_pico_usd: int) -> RequestError:
    ends = terms.ends(refusal.name)
    anew = f" It begins anew at {ends}." if ends else ""
    left = refusal.left_pico_usd
    if left > 0:
        return QuoteExceeded(
            f"This request may cost up to {usd(amount_pico_usd)} USD, and of {named} {usd(left)} USD are left that no other request holds. "
            f"Ask for fewer output tokens, or send less.{anew}"
        )
    if refusal.kind == "credits":
        return RejectNoCredit(f"Of {named} nothing is left that no other request holds. Top them up.")
    return InsufficientCredit(f"Of {named} nothing is left that no other request holds.{anew}")


def too_dear(terms: KeyTerms, granted_pico_usd: int, before: RequestError | None) -> RequestError:
    """A further attempt has no room. `before` is what came of those that were made."""
    del terms
    why = f"A budget of this key has no room for {'another' if before else 'an'} attempt: {usd(granted_pico_usd)} USD are held for this request."
    return QuoteExceeded(why if before is None else f"{before.message} {why}")


def unknown_yet() -> RequestError:
    """It cannot be told what is left."""
    return Overloaded(
        "The limits of this key cannot be looked up at the moment, so its requests have to wait.", retry_after_s=_AWAY_S
    )


def rate_headers(rates: Sequence[RateState], protocol: str, now_ms: float) -> Headers:
    """How the rates stand."""
    headers: Headers = []
    for one in rates:
        kind, limit, remaining = one.rate.kind.encode(), b"%d" % one.rate.per_minute, b"%d" % one.remaining
        headers += [
            (b"x-ratelimit-limit-" + kind, limit),
            (b"x-ratelimit-remaining-" + kind, remaining),
            (b"x-ratelimit-reset-" + kind, _duration(one.reset_s)),
        ]
        if protocol == MESSAGES:
            reset = datetime.fromtimestamp(now_ms / 1000 + one.reset_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            headers += [
                (b"anthropic-ratelimit-%b-limit" % kind, limit),
                (b"anthropic-ratelimit-%b-remaining" % kind, remaining),
                (b"anthropic-ratelimit-%b-reset" % kind, reset.encode()),
            ]
    return headers


def _duration(seconds: float) -> bytes:
    """As OpenAI writes it: `6m0s`, `1.5s`, `20ms`."""
    if seconds < 1:
        return b"%dms" % round(seconds * 1000)
    minutes, rest = divmod(round(seconds, 3), 60)
    return (f"{int(minutes)}m" if minutes else "").encode() + f"{rest:.3f}".rstrip("0").rstrip(".").encode() + b"s"
