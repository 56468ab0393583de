"""Figures as people read them: `tokens`, `usd`, `duration`, `rate`, `percent`, `day`. In: numbers in named units. Out: short text; `-` for None.

The exact value stands beside it in a `title` where a page shows a short one.
"""

import datetime

NONE = "-"
_LARGE = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))
_PICO = 10**12


def count(value: float | None) -> str:
    """1_234_567 -> `1.23M`; below a thousand as it is."""
    if value is None:
        return NONE
    # What would be rounded up to a thousand of its unit is one of the next.
    for size, letter in _LARGE:
        if abs(value) >= size * 0.99995:
            short = value / size
            return f"{short:,.0f}{letter}" if abs(short) >= 1000 else f"{_digits(short)}{letter}"
    return f"{value:,.0f}" if float(value).is_integer() else _digits(value)


def exact(value: float | None) -> str:
    """1_234_567 -> `1,234,567`."""
    return NONE if value is None else f"{value:,.0f}"


def usd(pico_usd: int | None) -> str:
    """Pico-USD as dollars: cents from a cent up, else three significant digits."""
    if pico_usd is None:
        return NONE
    if pico_usd < 0:
        return f"-{usd(-pico_usd)}"
    dollars = pico_usd / _PICO
    if dollars == 0:
        return "$0"
    if dollars >= 1_000_000:
        return f"${count(dollars)}"
    if dollars >= 0.01:
        return f"${dollars:,.2f}"
    return "$" + f"{dollars:.12f}"[: _significant(dollars) + 2].rstrip("0")


def exact_usd(pico_usd: int | None) -> str:
    """Every digit."""
    if pico_usd is None:
        return NONE
    sign, whole = ("-", -pico_usd) if pico_usd < 0 else ("", pico_usd)
    rest = f"{whole % _PICO:012d}".rstrip("0")
    return f"{sign}${whole // _PICO:,}{'.' + rest if rest else ''}"


def duration(ms: float | None) -> str:
    """Milliseconds as `85 ms`, `1.75 s`, `3 min 12 s`, `2 h 5 min`."""
    if ms is None:
        return NONE
    if ms < 999.5:
        return f"{ms:.0f} ms"
    seconds = ms / 1000
    if seconds < 59.995:
        return f"{_digits(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{hours // 24} days"


def rate(tokens_per_s: float | None) -> str:
    """Tokens a second, without the unit."""
    return NONE if tokens_per_s is None else _digits(tokens_per_s)


def figure(value: float | None) -> str:
    """A measured value with two places at most: `1,945`, `30,199.85`."""
    if value is None:
        return NONE
    text = f"{value:,.2f}"
    return text.rstrip("0").rstrip(".")


def percent(share: float | None) -> str:
    """0.9987 -> `99.87 %`. Only what is whole is shown as 100."""
    if share is None:
        return NONE
    value = share * 100
    if value < 100 and f"{value:.2f}" == "100.00":
        return "99.99 %"
    return f"{value:.2f} %"


def bar_hour(unix_ms: float) -> str:
    """`Oct 10, 2025 - 3 PM`, in UTC: of the bars of uptime alone, which are read as ZenMux's are."""
    at = datetime.datetime.fromtimestamp(unix_ms / 1000, datetime.UTC)
    return f"{at:%b} {at.day}, {at.year} - {at.hour % 12 or 12} {'AM' if at.hour < 12 else 'PM'}"


def hour(unix_ms: float) -> str:
    """`2025-10-10 15:00`, in UTC."""
    return f"{datetime.datetime.fromtimestamp(unix_ms / 1000, datetime.UTC):%Y-%m-%d %H}:00"


def day(unix_ms: float) -> str:
    """`2025-10-10`, in UTC."""
    return datetime.datetime.fromtimestamp(unix_ms / 1000, datetime.UTC).date().isoformat()


def iso(unix_ms: float) -> str:
    """For `<time datetime>`: the reader's own browser shows it in the reader's zone."""
    at = datetime.datetime.fromtimestamp(unix_ms / 1000, datetime.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(unix_ms: float) -> str:
    """The same as text for readers without script, in UTC."""
    return f"{datetime.datetime.fromtimestamp(unix_ms / 1000, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _digits(value: float) -> str:
    """Three significant digits, and no more than two after the point: 1.23, 12.3, 123."""
    size = abs(value)
    places = 2 if size < 9.995 else 1 if size < 99.95 else 0
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if places and text.endswith("0") and "." in text else text


def _significant(value: float) -> int:
    """How many places after the point show three digits of a value below one."""
    places = 0
    size = abs(value)
    while size < 1 and places < 12:
        size *= 10
        places += 1
    return min(places + 2, 12)
