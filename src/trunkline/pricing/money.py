"""Pico-USD as text and back. In: integers, or what people write. Out: exact decimal literals, fit for JSON numbers and headers; integers."""

import re

_PICO = 10**12


def usd(pico_usd: int) -> str:
    """Exact USD without an exponent and without trailing zeros: 4_400_000 -> `0.0000044`. On the hot path, so by integers alone."""
    if 0 < pico_usd < _PICO:
        return "0." + str(pico_usd).zfill(12).rstrip("0")
    if pico_usd < 0:
        return f"-{usd(-pico_usd)}"
    whole, rest = divmod(pico_usd, _PICO)
    return f"{whole}.{rest:012d}".rstrip("0") if rest else str(whole)


def pico_usd(text: str) -> int:
    """What an amount in USD is: `12.50` -> 12_500_000_000_000. ValueError for what is none, or has more than twelve places."""
    found = re.fullmatch(r"(-?)\$?([0-9]{1,6})(?:\.([0-9]{1,12}))?", text.strip())
    if found is None:
        raise ValueError(
            f"{text!r} is no amount; write USD such as 12.50, below a million and with twelve places at most"
        )
    sign, whole, places = found.groups("")
    return (-1 if sign else 1) * (int(whole) * _PICO + int(places.ljust(12, "0")))
