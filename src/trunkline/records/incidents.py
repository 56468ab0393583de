"""Incidents found from our own traffic. In: hours in which offers failed too often, then minutes around their edges. Out: `Incident`s, newest first.

An incident is a run of hours in each of which an offer's uptime was below `BELOW`, with at least `LEAST` attempts and `LEAST_FAILED`
failures altogether. Offers of one provider that failed at the same time are one incident.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from trunkline.records.figures import FAILURES, HOUR_S, MINUTE_S

BELOW = 0.9
LEAST = 5
"""Attempts that count. Fewer say nothing."""
LEAST_FAILED = 3
"""Of these. One that failed of five is no incident."""
BACK_AFTER = 3
"""Attempts that must have gone well since the last failure, for an incident of the last hour to be over."""


class Point(Protocol):
    """What happened to an offer in a minute or an hour: `storage.outcomes.Outcomes`."""

    @property
    def start_s(self) -> int: ...
    @property
    def of(self) -> str: ...
    @property
    def ok(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def causes(self) -> dict[str, int]: ...


class Incident(msgspec.Struct, frozen=True):
    """`end_s` is when it had ended, or how far it has come while `ongoing`. `attempts` are those that count for uptime."""

    provider: str
    offers: tuple[str, ...]
    start_s: int
    end_s: int
    attempts: int
    failed: int
    causes: dict[str, int] = {}
    ongoing: bool = False

    @property
    def uptime(self) -> float:
        return 1 - self.failed / self.attempts

    @property
    def cause(self) -> str:
        """What failed most of what counts against a provider: an outcome, or `status 503`; empty where nothing is known."""
        counted = [cause for cause in sorted(self.causes) if cause in FAILURES or cause.startswith("status 5")]
        return max(counted, key=lambda cause: self.causes[cause], default="")


def incidents(hours: Iterable[Point], minutes: Sequence[Point], now_s: int) -> list[Incident]:
    """From hours whose uptime was below the bound, and from what minutes are known at the edges of their runs."""
    known = _by_offer(minutes)
    found = [_refined(_of_run(run), known.get(run[0].of, ()), now_s) for run in _runs(hours)]
    return sorted(_together(found), key=lambda one: (one.start_s, one.provider), reverse=True)


def edges(hours: Iterable[Point], since_s: int) -> tuple[list[int], list[str]]:
    """Of which hours (starts, none before `since_s`) and offers minutes are wanted: the first and the last of each run."""
    starts: set[int] = set()
    names: set[str] = set()
    for run in _runs(hours):
        ends = {start_s for start_s in (run[0].start_s, run[-1].start_s) if start_s >= since_s}
        if ends:
            starts |= ends
            names.add(run[0].of)
    return sorted(starts), sorted(names)


def _runs(hours: Iterable[Point]) -> list[list[Point]]:
    """Of each offer the hours that follow each other, where there was enough to go by."""
    runs: list[list[Point]] = []
    for points in _by_offer(hours).values():
        for before, point in zip([None, *points[:-1]], points, strict=True):
            if before is not None and point.start_s <= before.start_s + HOUR_S:
                runs[-1].append(point)
            else:
                runs.append([point])
    return [run for run in runs if _is_enough(run)]


def _is_enough(run: Sequence[Point]) -> bool:
    failed = sum(point.failed for point in run)
    return failed >= LEAST_FAILED and failed + sum(point.ok for point in run) >= LEAST


def _by_offer(points: Iterable[Point]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: point.start_s):
        found.setdefault(point.of, []).append(point)
    return found


def _of_run(run: Sequence[Point]) -> Incident:
    offer = run[0].of
    causes: dict[str, int] = {}
    for point in run:
        _add(causes, point.causes)
    return Incident(
        provider=offer.rpartition(":")[2],
        offers=(offer,),
        start_s=run[0].start_s,
        end_s=run[-1].start_s + HOUR_S,
        attempts=sum(point.ok + point.failed for point in run),
        failed=sum(point.failed for point in run),
        causes=causes,
    )


def _refined(incident: Incident, minutes: Sequence[Point], now_s: int) -> Incident:
    """From the first minute with a failure to the last one. It goes on while that is less than an hour ago and little went well since."""
    within = [point for point in minutes if incident.start_s <= point.start_s < incident.end_s]
    bad = [point.start_s for point in within if point.failed]
    start_s, end_s = incident.start_s, min(incident.end_s, now_s)
    if bad and min(bad) < start_s + HOUR_S:
        start_s = min(bad)
    last_s = max(bad) + MINUTE_S if bad and max(bad) >= incident.end_s - HOUR_S else end_s
    went_well = sum(point.ok for point in minutes if point.start_s >= last_s)
    ongoing = now_s - last_s < HOUR_S and went_well < BACK_AFTER
    return msgspec.structs.replace(incident, start_s=start_s, end_s=now_s if ongoing else last_s, ongoing=ongoing)


def _together(found: Iterable[Incident]) -> list[Incident]:
    """Incidents of one provider that overlap are one."""
    merged: dict[str, list[Incident]] = {}
    for one in sorted(found, key=lambda one: one.start_s):
        before = merged.setdefault(one.provider, [])
        if before and one.start_s < before[-1].end_s:
            before[-1] = _both(before[-1], one)
        else:
            before.append(one)
    return [one for several in merged.values() for one in several]


def _both(first: Incident, second: Incident) -> Incident:
    causes = dict(first.causes)
    _add(causes, second.causes)
    return msgspec.structs.replace(
        first,
        offers=tuple(sorted({*first.offers, *second.offers})),
        end_s=max(first.end_s, second.end_s),
        attempts=first.attempts + second.attempts,
        failed=first.failed + second.failed,
        causes=causes,
        ongoing=first.ongoing or second.ongoing,
    )


def _add(causes: dict[str, int], more: dict[str, int]) -> None:
    for cause, count in more.items():
        causes[cause] = causes.get(cause, 0) + count
