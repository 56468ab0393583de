"""A breaker per offer: it keeps requests away from one that fails, and lets one through at a time to see whether it is back.

In: attempts as they begin and end, the time, chance for the jitter. Out: closed, open or half-open.
States as in https://learn.microsoft.com/en-us/azure/architecture/patterns/circuit-breaker; a wait that grows with jitter, because callers who wait for
the same time come back together: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
"""

from collections import deque
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half_open"]

WINDOW_S = 60.0
MAX_OUTCOMES = 20
"""The newest outcomes that count, none older than `WINDOW_S`: a busy offer is judged in moments, a quiet one by its last minute."""
MIN_OUTCOMES = 3
OPEN_SHARE = 0.5
"""It opens where at least this share of at least `MIN_OUTCOMES` outcomes failed."""
OPEN_S = 10.0
MAX_OPEN_S = 300.0
"""It stays open for `OPEN_S`, twice as long each time that it opens again, at most `MAX_OPEN_S`; then times 0.75 to 1.25 by chance."""
CLOSE_AFTER = 2
"""So many answers in a row close it."""
TRIAL_S = 120.0
"""A trial that was begun and never ended gives its place free after so long."""
CALM_S = 300.0
"""Closed for so long, it opens the next time as for the first."""

_NEVER = float("-inf")
_ALWAYS = float("inf")


class Breaker:
    """Lives as long as its offer's window. All times are seconds of one monotonic clock."""

    __slots__ = (
        "_openings",
        "_outcomes",
        "_passed",
        "_random",
        "_trial_s",
        "closed_s",
        "is_open",
        "opened_s",
        "until_s",
    )

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=MAX_OUTCOMES)
        self._openings = self._passed = 0
        self.closed_s = self.opened_s = self._trial_s = _NEVER
        self.is_open = False
        """Not closed, that is: open or half-open."""
        self.until_s = _NEVER
        """It is open at least until then."""

    def state(self, now_s: float) -> State:
        """`half_open` is one that lets a request through now; while that one is under way it is `open` again."""
        if not self.is_open:
            return "closed"
        return "open" if now_s < self.until_s or self._is_tried(now_s) else "half_open"

    def begin(self, now_s: float) -> bool:
        """An attempt begins. True where it takes the one place that a half-open breaker has."""
        if self.state(now_s) != "half_open":
            return False
        self._trial_s = now_s
        return True

    def end(self, up: bool | None, now_s: float, began_s: float = _ALWAYS) -> bool:
        """An attempt ended; `up` is None where it says nothing of the offer. True where the breaker opened or closed."""
        if not self.is_open:
            return self._count(up, now_s)
        if began_s < self.opened_s:
            # Streams that were under way when it opened tell nothing of whether new ones get through.
            return False
        # Others may begin while it is open, where their callers ask for this offer alone: only the trial's failure makes the wait longer.
        was_trial = self._is_tried(now_s) and began_s in (self._trial_s, _ALWAYS)
        if was_trial:
            self._trial_s = _NEVER
        if up is None:
            return False
        if not up:
            self._passed = 0
            if was_trial:
                self.open(now_s)
            return was_trial
        self._passed += 1
        if self._passed < CLOSE_AFTER:
            return False
        self.is_open = False
        self.closed_s = now_s
        self._outcomes.clear()
        return True

    def adds_answer(self, now_s: float) -> bool:
        """`end` of an attempt that was answered. False: it is not closed, and nothing was done."""
        if self.is_open:
            return False
        self._outcomes.append((now_s, True))
        return True

    def _count(self, up: bool | None, now_s: float) -> bool:
        if up is None:
            return False
        outcomes = self._outcomes
        outcomes.append((now_s, up))
        if up:
            return False
        while outcomes[0][0] < now_s - WINDOW_S:
            outcomes.popleft()
        failed = sum([not one for _, one in outcomes])
        if len(outcomes) < MIN_OUTCOMES or failed < OPEN_SHARE * len(outcomes):
            return False
        self.open(now_s)
        return True

    def open(self, now_s: float) -> None:
        """It is known to be down."""
        if not self.is_open and now_s - self.closed_s > CALM_S:
            self._openings = 0
        wait_s = min(OPEN_S * 2**self._openings, MAX_OPEN_S)
        self._openings = min(self._openings + 1, 16)
        self.until_s = now_s + wait_s * (0.75 + 0.5 * self._random())
        self.is_open = True
        self.opened_s = now_s
        self._passed = 0
        self._trial_s = _NEVER

    def heed_opened(self, opened_s: float, until_s: float) -> bool:
        """Another gateway's opened then. True where that is news."""
        if self._is_tried(opened_s) or max(self.closed_s, self.opened_s) >= opened_s:
            return False
        self.until_s = max(self.until_s, until_s) if self.is_open else until_s
        self._openings = min(self._openings + 1, 16)
        self.is_open = True
        self.opened_s = opened_s
        self._passed = 0
        self._trial_s = _NEVER
        return True

    def heed_closed(self, closed_s: float) -> bool:
        """Another gateway's closed then. True where that is news."""
        if not self.is_open or self.opened_s >= closed_s:
            return False
        self.is_open = False
        self.closed_s = closed_s
        self._outcomes.clear()
        return True

    def _is_tried(self, now_s: float) -> bool:
        return now_s - self._trial_s < TRIAL_S
