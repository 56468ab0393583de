"""Tells a caller in headers how its answer came about. In: an `Exchange`. Out: `x-trunkline-attempts`, and `x-trunkline-plan` where it was asked for.

The plan is the record's, as JSON in ASCII of at most `MAX_PLAN_BYTES`: `{"model", "candidates": [{"offer", "rank", "reason"}]}`; who has no rank was not
to be tried. Where it would be longer, reasons are cut, then the last candidates are left out and counted in `left_out`.
"""

import json
from collections.abc import Sequence

from trunkline.execution.exchange import Exchange
from trunkline.execution.respond import Headers, header_text
from trunkline.records.types import Attempt, Candidate

MAX_PLAN_BYTES = 4096
MAX_ATTEMPTS_BYTES = 1024
_REASON_CHARS = (400, 160, 60, 0)
_NOTHING: Headers = []


def told(exchange: Exchange, explains: bool, status: int) -> Headers:
    """What goes into the head of an answer. `status` is 0 where it is not known yet what the answer will be, `explains` whether all was asked for."""
    if not explains and not exchange.attempts:
        return exchange.more_headers or _NOTHING
    attempts = [_outcome(attempt) for attempt in exchange.attempts]
    if status == 200 and exchange.provider:
        attempts.append(f"{exchange.provider}:ok")
    headers: Headers = list(exchange.more_headers)
    if attempts and (explains or len(attempts) > 1):
        headers.append((b"x-trunkline-attempts", header_text("; ".join(attempts), MAX_ATTEMPTS_BYTES)))
    if explains and exchange.candidates:
        headers.append((b"x-trunkline-plan", plan_line(exchange.model, exchange.candidates)))
    return headers


def plan_line(model: str, candidates: Sequence[Candidate]) -> bytes:
    """The plan as one line of JSON in ASCII, cut where it would be too long."""
    rows = sorted(candidates, key=_place)
    for most in _REASON_CHARS:
        line = _line(model, rows, most, 0)
        if len(line) <= MAX_PLAN_BYTES:
            return line
    while rows:
        rows = rows[: len(rows) * 3 // 4]
        line = _line(model, rows, 0, len(candidates) - len(rows))
        if len(line) <= MAX_PLAN_BYTES:
            return line
    return b"{}"


def _place(candidate: Candidate) -> tuple[bool, int]:
    return candidate.rank is None, candidate.rank or 0


def _line(model: str, rows: Sequence[Candidate], reason_chars: int, left_out: int) -> bytes:
    line: dict[str, object] = {"model": model, "candidates": [_row(row, reason_chars) for row in rows]}
    if left_out:
        line["left_out"] = left_out
    return json.dumps(line, separators=(",", ":")).encode("ascii")


def _row(row: Candidate, reason_chars: int) -> dict[str, object]:
    told: dict[str, object] = {"offer": row.offer}
    if row.rank is not None:
        told["rank"] = row.rank
    if row.reason and reason_chars:
        told["reason"] = row.reason[:reason_chars]
    return told


def _outcome(attempt: Attempt) -> str:
    outcome = f"status {attempt.status}" if attempt.outcome == "status" else attempt.outcome
    return f"{attempt.provider}:{outcome}"
