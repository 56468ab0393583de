"""Turns a `Report` into the table that people read, and checks it against the bars of design.md section 5."""

from collections.abc import Callable
from statistics import median

import msgspec

from bench import decision, translation
from bench.bodies import SHORT
from bench.rows import DIRECT
from bench.types import PERCENTILES, Report, Sample

FLOOR = "nginx proxy_pass"
OURS = "Trunkline"
MISSING = "—"
_P50, _P99 = PERCENTILES.index(50), PERCENTILES.index(99)


class Figure(msgspec.Struct, frozen=True):
    """Rounds of one row and stack, drawn together."""

    median: float
    low: float
    high: float


class Column(msgspec.Struct, frozen=True):
    """A column: its head, the figure of a stack in it, decimals shown, and whether the ratio to the floor is worth
    telling."""

    head: str
    figure: Callable[[Report, str], Figure | None]
    decimals: int = 0
    ratio_row: str = ""


class Bar(msgspec.Struct, frozen=True):
    """What this build has to hold."""

    what: str
    most: float
    unit: str
    figure: Callable[[Report, str], Figure | None]


def together(values: list[float]) -> Figure | None:
    return Figure(median(values), min(values), max(values)) if values else None


def row_figure(row: str) -> Callable[[Report, str], Figure | None]:
    def figure(report: Report, stack: str) -> Figure | None:
        return together([sample.value for sample in _of(report, row, stack) if sample.value is not None])

    return figure


def added_latency_us(rate: int, percentile: int) -> Callable[[Report, str], Figure | None]:
    """The stack's percentile less that of the upstream itself, in the same round."""

    def figure(report: Report, stack: str) -> Figure | None:
        row = f"latency@{rate}"
        direct = {sample.round: sample.latency_us for sample in _of(report, row, DIRECT) if sample.value is not None}
        added = [
            sample.latency_us[percentile] - direct[sample.round][percentile]
            for sample in _of(report, row, stack)
            if sample.value is not None and sample.round in direct
        ]
        return together(added)

    return figure


def ratio_to_floor(report: Report, row: str, stack: str) -> float | None:
    """Median over the rounds of this stack's figure through the floor's of the same round."""
    floor = {sample.round: sample.value for sample in _of(report, row, FLOOR)}
    ratios = [s.value / base for s in _of(report, row, stack) if s.value is not None and (base := floor.get(s.round))]
    return median(ratios) if ratios else None


def worst_direction(row: str) -> Callable[[Report, str], Figure | None]:
    """Of the twelve that translate; None where one of them is missing."""

    def figure(report: Report, stack: str) -> Figure | None:
        figures = [
            row_figure(translation.cell(row, client, provider))(report, stack)
            for client, provider in translation.directions()
            if translation.is_translated(client, provider)
        ]
        known = [one for one in figures if one is not None]
        return max(known, key=lambda one: one.median) if len(known) == len(figures) else None

    return figure


def columns(report: Report) -> list[Column]:
    rows = dict.fromkeys(sample.row for sample in report.samples)
    rates = [int(row.partition("@")[2]) for row in rows if row.startswith("latency@")]
    held = [int(row.partition("@")[2]) for row in rows if row.startswith("memory@")]
    return [
        Column("CPU µs / request", row_figure("cpu_request"), 0, "cpu_request"),
        Column("CPU µs / event", row_figure("cpu_event"), 1, "cpu_event"),
        Column("CPU µs / request, TLS to provider", row_figure("cpu_request_tls"), 0, "cpu_request_tls"),
        Column("CPU µs / event, TLS to provider", row_figure("cpu_event_tls"), 1, "cpu_event_tls"),
        *(
            Column(f"added {name} µs at {rate:,}/s", added_latency_us(rate, at))
            for rate in rates
            for name, at in (("p50", _P50), ("p99", _P99))
        ),
        Column("idle MB", row_figure("memory_idle")),
        *(Column(f"MB at {streams:,} streams", row_figure(f"memory@{streams}")) for streams in held),
        Column("idle CPU ms / s", row_figure("idle_cpu_ms_per_s"), 1),
        Column("ready s", row_figure("ready_s"), 2),
        Column("first start s", row_figure("ready_first_s"), 2),
    ]


BARS = (
    Bar("CPU a request", 150, "µs", row_figure("cpu_request")),
    Bar("CPU an event passed through", 35, "µs", row_figure("cpu_event")),
    Bar("memory at 5,000 open streams", 600, "MB", row_figure("memory@5000")),
    Bar("p99 added latency at 1,000 requests/s", 5000, "µs", added_latency_us(1000, _P99)),
    Bar("ready", 1.5, "s", row_figure("ready_s")),
    Bar("CPU a translated request of 4 KB, worst direction", 400, "µs", worst_direction(translation.REQUEST)),
    Bar("CPU a translated event, worst direction", 60, "µs", worst_direction(translation.EVENT)),
    Bar("CPU of a 10 MB image, worst direction", 50, "ms", worst_direction(translation.IMAGE_CPU)),
    Bar("memory for it through its size, worst direction", 2, "x", worst_direction(translation.IMAGE_MEMORY)),
    Bar("routing decision with 10 offers, from scratch", 30, "µs", row_figure(decision.ORDER)),
    Bar("the same, of an order that was made", 5, "µs", row_figure(decision.DRAW)),
)


class Grid(msgspec.Struct, frozen=True):
    """A table of directions: the row, what it says, decimals, and the bar of the twelve that translate."""

    row: str
    what: str
    decimals: int
    most: float


GRIDS = (
    Grid(translation.REQUEST, "CPU µs a request of 4 KB", 0, 400),
    Grid(translation.EVENT, "CPU µs an event", 1, 60),
    Grid(translation.IMAGE_CPU, "CPU ms of a 10 MB image", 1, 50),
    Grid(translation.IMAGE_MEMORY, "peak memory for it, through its size", 2, 2),
)


def markdown(report: Report) -> str:
    parts = [
        f"# Bench of {report.meta['date']}",
        "",
        *(f"* {name}: {value}" for name, value in report.meta.items()),
        "",
    ]
    parts += [
        "Median of the rounds (lowest to highest); × is the ratio to the floor in the same round. See docs/bench.md.",
        "",
    ]
    parts += [*_stack_table(report), *_grids(report), "## Bars of this build", "", *_bar_table(report), ""]
    parts += ["## Whether to trust it", "", _records_line(report), "", *_instrument_table(report), ""]
    if report.notes:
        parts += ["## Notes", "", *(f"* {note}" for note in report.notes), ""]
    return "\n".join(parts)


def holes(report: Report) -> list[str]:
    """What a whole table has and this one has not, in words: cells of this build, and records that are not as many as
    requests."""
    missing = [column.head for column in columns(report) if column.figure(report, OURS) is None]
    missing += [row for row in (decision.ORDER, decision.DRAW) if row_figure(row)(report, OURS) is None]
    return [f"no figure: {head}" for head in missing] + translation_holes(report)


def translation_holes(report: Report) -> list[str]:
    """What is missing of the tables of directions, and records that are not as many as requests."""
    cells = [translation.cell(grid.row, *pair) for grid in GRIDS for pair in translation.directions()]
    missing = [row for row in cells if row_figure(row)(report, OURS) is None]
    counted = [sample for sample in report.samples if sample.row == "records"]
    wrong = [f"{s.value:.0f} records for {s.requests} requests" for s in counted if s.value != s.requests]
    return [f"no figure: {head}" for head in missing] + wrong


def _records_line(report: Report) -> str:
    counted = [sample for sample in report.samples if sample.row == "records" and sample.value is not None]
    stored, sent = sum(int(s.value or 0) for s in counted), sum(s.requests for s in counted)
    return f"Records in Trunkline's store after the rows above without TLS: {stored:,} for {sent:,} requests."


def _stack_table(report: Report) -> list[str]:
    """Stacks across, rows down: that is read in a terminal too. None where only translation was measured."""
    names = list(report.stacks)
    if not any(column.figure(report, name) for column in columns(report) for name in names):
        return []
    lines = [
        "| | " + " | ".join(f"{name} {report.stacks[name]}" for name in names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for column in columns(report):
        cells = [column.head, *(_cell(report, column, name) for name in names)]
        lines += ["| " + " | ".join(cells) + " |"]
    return [*lines, ""]


def _grids(report: Report) -> list[str]:
    """Clients down, providers across. What does not hold is bold; a protocol to itself is not translated and has no
    bar."""
    lines = []
    for grid in GRIDS:
        if any(sample.row.startswith(f"{grid.row}@") for sample in report.samples):
            lines += [*_grid(report, grid), ""]
    return (
        ["## Translation, from the client's protocol (rows) to the provider's (columns)", "", *lines] if lines else []
    )


def _grid(report: Report, grid: Grid) -> list[str]:
    lines = [f"| {grid.what} (bar {grid.most:g}) | " + " | ".join(SHORT) + " |", "|---|" + "---|" * len(SHORT)]
    for client in SHORT:
        cells = [_grid_cell(report, grid, client, provider) for provider in SHORT]
        lines.append(f"| {client} | {' | '.join(cells)} |")
    return lines


def _grid_cell(report: Report, grid: Grid, client: str, provider: str) -> str:
    figure = row_figure(translation.cell(grid.row, client, provider))(report, OURS)
    if figure is None:
        return MISSING
    shown = f"{figure.median:,.{grid.decimals}f}"
    if not translation.is_translated(client, provider):
        return f"({shown})"
    return f"**{shown}**" if figure.median > grid.most else shown


def _cell(report: Report, column: Column, stack: str) -> str:
    figure = column.figure(report, stack)
    if figure is None:
        return MISSING
    shown = _shown(figure, column.decimals)
    ratio = ratio_to_floor(report, column.ratio_row, stack) if column.ratio_row and stack != FLOOR else None
    return f"{shown} ×{ratio:.1f}" if ratio else shown


def _shown(figure: Figure, decimals: int) -> str:
    middle = f"{figure.median:,.{decimals}f}"
    spread = f" ({figure.low:,.{decimals}f} to {figure.high:,.{decimals}f})"
    return middle if figure.low == figure.high else middle + spread


def _bar_table(report: Report) -> list[str]:
    lines = ["| bar | at most | measured | |", "|---|---|---|---|"]
    for bar in BARS:
        figure = bar.figure(report, OURS)
        if figure is None:
            lines.append(f"| {bar.what} | {bar.most:g} {bar.unit} | {MISSING} | not measured |")
            continue
        verdict = "holds" if figure.median <= bar.most else "DOES NOT HOLD"
        lines.append(f"| {bar.what} | {bar.most:g} {bar.unit} | {figure.median:.4g} {bar.unit} | {verdict} |")
    return lines


def _instrument_table(report: Report) -> list[str]:
    """How busy the generator, the upstream and the rest of the machine were: none may be what limits a figure."""
    lines = [
        "| row | stack | stack's core | generator | upstream | others | requests/s | reads / event | lag p99 µs |",
        "|" + "---|" * 9,
    ]
    for row in dict.fromkeys(_kind(sample) for sample in report.samples if sample.wall_s):
        for stack in (DIRECT, *report.stacks):
            timed = [s for s in report.samples if s.stack == stack and s.wall_s and _kind(s) == row]
            if timed:
                lines.append(_instrument_line(row, stack, timed))
    return lines


def _kind(sample: Sample) -> str:
    """All directions of a row of translation are one line."""
    row, _, where = sample.row.partition("@")
    return row if "->" in where else sample.row


def _instrument_line(row: str, stack: str, samples: list[Sample]) -> str:
    def share(seconds: Callable[[Sample], float]) -> str:
        return f"{median(seconds(sample) / sample.wall_s for sample in samples):.0%}"

    reads = [sample.reads / sample.events for sample in samples if sample.events]
    lag = [sample.lag_us[_P99] for sample in samples if sample.lag_us]
    cells = [
        row,
        stack,
        MISSING if stack == DIRECT else share(lambda sample: sample.stack_cpu_s),
        share(lambda sample: sample.load_cpu_s),
        share(lambda sample: sample.upstream_cpu_s),
        f"{median(sample.others for sample in samples):.0%}",
        f"{median(sample.requests / sample.wall_s for sample in samples):,.0f}",
        f"{median(reads):.2f}" if reads else MISSING,
        f"{median(lag):,.0f}" if lag else MISSING,
    ]
    return "| " + " | ".join(cells) + " |"


def _of(report: Report, row: str, stack: str) -> list[Sample]:
    return [sample for sample in report.samples if sample.row == row and sample.stack == stack]
