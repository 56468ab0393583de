"""Pico-USD as text. In: integers. Out: exact decimal literals, fit for JSON numbers and headers."""

_PICO = 10**12


def usd(pico_usd: int) -> str:
    """Exact USD without an exponent and without trailing zeros: 4_400_000 -> `0.0000044`. On the hot path, so by integers alone."""
    if pico_usd < 0:
        return f"-{usd(-pico_usd)}"
    whole, rest = divmod(pico_usd, _PICO)
    return f"{whole}.{rest:012d}".rstrip("0") if rest else str(whole)
