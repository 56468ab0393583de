"""In which order the offers that can take a request are tried. In: `Eligible`, what is measured of each. Out: `Plan`, with a reason for each. Pure."""

from collections.abc import Callable

from trunkline.catalog.types import Model
from trunkline.errors import NoProviderAvailable, RateLimited, RequestError
from trunkline.records.types import Candidate
from trunkline.routing.health import Figures
from trunkline.routing.types import Eligible, Plan, Step


def order(found: Eligible, figures: Callable[[str], Figures]) -> Plan:
    """Those that miss least first, then those that have not just failed, then those of the caller's own protocol; among these
    unmeasured offers, then the lowest first-token latency. Raises where all ask to be left alone."""
    rows = []
    resting: list[tuple[Step, Figures]] = []
    for place, step in enumerate(found.steps):
        known = figures(step.offer.id)
        if known.rest_s > 0:
            resting.append((step, known))
        else:
            rows.append(
                (
                    len(step.dropped),
                    known.failed_lately,
                    not step.native,
                    known.first_token_ms or 0.0,
                    place,
                    step,
                    known,
                )
            )
    waiting = [Candidate(step.offer.id, None, _rest_reason(known)) for step, known in resting]
    if not rows:
        error = _resting(found.model, [known for _, known in resting])
        error.candidates = (*waiting, *found.excluded)
        raise error
    rows.sort()
    taken = [Candidate(row[5].offer.id, rank, _reason(row[5], row[6])) for rank, row in enumerate(rows, 1)]
    return Plan(found.model, tuple([row[5] for row in rows]), (*taken, *waiting, *found.excluded))


def _reason(step: Step, figures: Figures) -> str:
    lately = "" if step.native else ", by translation"
    lately += ", failed lately" if figures.failed_lately else ""
    if figures.first_token_ms is None:
        return f"first-token latency not measured yet{lately}"
    return f"first-token latency {figures.first_token_ms:.0f} ms{lately}"


def _rest_reason(figures: Figures) -> str:
    return f"asked to be left alone for {figures.rest_s:.0f} s (status {figures.rest_status})"


def _resting(model: Model, figures: list[Figures]) -> RequestError:
    soonest = min(figures, key=lambda known: known.rest_s)
    message = f"Every offer of {model.slug} asked to be left alone for now."
    if soonest.rest_status == 429:
        return RateLimited(message, retry_after_s=soonest.rest_s)
    return NoProviderAvailable(message, retry_after_s=soonest.rest_s)
