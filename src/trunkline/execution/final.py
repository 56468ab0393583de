"""The error that ends a request when no offer answered. In: each offer's failure. Out: one `RequestError`, without what is the operator's business."""

from trunkline.catalog.types import Offer
from trunkline.errors import NoProviderAvailable, RateLimited, RequestError, UpstreamTimeout
from trunkline.execution.failure import Failure
from trunkline.ir.fault import Blame


def final_error(failures: list[tuple[Offer, Failure]], model: str) -> RequestError:
    """What the caller is told when no offer answered. The operator's faults are not for its eyes.

    Where several were tried, a client's own tries would multiply with ours (https://github.com/openai/openai-python, `_should_retry`).
    """
    error = _final_error(failures, model)
    error.is_final = len(failures) > 1
    return error


def _final_error(failures: list[tuple[Offer, Failure]], model: str) -> RequestError:
    # A provider with several keys may have said the same several times.
    told = "; ".join(dict.fromkeys(f"{offer.provider} {_in_words(failure)}" for offer, failure in failures))
    limited = [failure for _, failure in failures if failure.status == 429 and failure.blame is Blame.PROVIDER]
    if len(limited) == len(failures):
        waits = [failure.retry_after_s for failure in limited if failure.retry_after_s is not None]
        return RateLimited(
            f"Every provider of {model} is at its rate limit: {told}.", retry_after_s=min(waits, default=None)
        )
    if all(failure.cause.startswith("timeout") for _, failure in failures):
        return UpstreamTimeout(f"No provider of {model} answered in time: {told}.")
    waits = [failure.retry_after_s for _, failure in failures if failure.retry_after_s is not None]
    return NoProviderAvailable(
        f"No provider of {model} could answer: {told}.",
        retry_after_s=min(waits, default=None) if len(waits) == len(failures) else None,
    )


def _in_words(failure: Failure) -> str:
    if failure.blame is Blame.OPERATOR:
        return "cannot be used with this gateway's account; its operator can see why"
    return f"answered with status {failure.status}" if failure.cause == "status" else f"failed ({failure.cause})"
