"""Pico-USD as text. In: integers. Out: exact decimal literals, fit for JSON numbers and headers."""

from decimal import Decimal

_EXPONENT = -12


def usd(pico_usd: int) -> str:
    """Exact USD without an exponent and without trailing zeros: 4_400_000 -> `0.0000044`."""
    text = format(Decimal(pico_usd).scaleb(_EXPONENT), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
