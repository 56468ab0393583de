"""The error when no offer answered, from what each one did."""

import pytest

from trunkline.catalog.types import Offer
from trunkline.errors import NoProviderAvailable, RateLimited, UpstreamTimeout
from trunkline.execution.failure import Failure
from trunkline.execution.final import final_error
from trunkline.execution.run import retry_headers
from trunkline.ir.fault import Blame, Fault

LIMITED = Failure("status", Blame.PROVIDER, 429, Fault("slow down"), 7.0)
LIMITED_SHORT = Failure("status", Blame.PROVIDER, 429, Fault("slow down"), 2.5)
LIMITED_OPEN = Failure("status", Blame.PROVIDER, 429, Fault("slow down"))
QUOTA = Failure("status", Blame.OPERATOR, 429, Fault("insufficient quota of org-secret"), 9.0)
LATE = Failure("timeout_first_event", Blame.PROVIDER)
DEAF = Failure("timeout_connect", Blame.PROVIDER)
BROKEN = Failure("reset", Blame.PROVIDER)
BUSY = Failure("status", Blame.PROVIDER, 503, Fault("busy"), 4.0)


def told(*failures: Failure):
    offers = [Offer("acme/alpha", f"p{n}", "alpha", ("openai.chat",)) for n in range(len(failures))]
    return final_error(list(zip(offers, failures, strict=True)), "acme/alpha")


@pytest.mark.parametrize(
    ("failures", "kind", "retry_after_s"),
    [
        ((LIMITED, LIMITED_SHORT), RateLimited, 2.5),
        ((LIMITED, LIMITED_OPEN), RateLimited, 7.0),
        ((LIMITED_OPEN,), RateLimited, None),
        ((LIMITED, BROKEN), NoProviderAvailable, None),
        ((LIMITED, BUSY), NoProviderAvailable, 4.0),
        ((QUOTA,), NoProviderAvailable, 9.0),
        ((LATE, DEAF), UpstreamTimeout, None),
        ((LATE, BROKEN), NoProviderAvailable, None),
    ],
)
def test_the_worst_common_cause_is_told(failures, kind, retry_after_s) -> None:
    error = told(*failures)
    assert type(error) is kind
    assert error.retry_after_s == retry_after_s


def test_each_provider_is_named_with_what_it_did() -> None:
    assert "p0 failed (reset); p1 answered with status 503" in told(BROKEN, BUSY).message


def test_the_operators_business_stays_the_operators() -> None:
    assert "org-secret" not in told(QUOTA, QUOTA).message
    assert "429" not in told(QUOTA, QUOTA).message


@pytest.mark.parametrize(
    ("failures", "headers"),
    [
        ((LIMITED_SHORT,), [(b"retry-after", b"3"), (b"retry-after-ms", b"2500")]),
        ((LIMITED_OPEN,), []),
        ((BROKEN,), []),
        ((LATE,), []),
        ((BROKEN, LATE), [(b"x-should-retry", b"false")]),
        ((LATE, LATE), [(b"x-should-retry", b"false")]),
    ],
)
def test_clients_are_told_when_to_try_again_or_not_at_all(failures, headers) -> None:
    assert retry_headers(told(*failures)) == headers
