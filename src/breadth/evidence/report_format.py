"""How the report writes numbers: the sign and the unit always, about as many digits as carry meaning."""

from __future__ import annotations

import math

OURS = "breadth"  # origin of the contenders that the page marks
NONE = "–"  # stands where there is nothing to show


def finite(*values: float) -> bool:
    """Whether every value is there to be shown."""
    return all(math.isfinite(v) for v in values)


def integer(n: int) -> str:
    """6366 -> '6,366'."""
    return f"{n:,}"


def counted(n: int, one: str, many: str = "") -> str:
    return f"{integer(n)} {one if n == 1 else many or one + 's'}"


def number(x: float, digits: int = 3) -> str:
    """Significant digits with their trailing zeros; whole numbers from a thousand on; powers beyond 1e-4 and 1e9."""
    if not finite(x):
        return NONE
    if x == 0:
        return "0"
    text = f"{x:,.0f}" if 1000 <= abs(x) < 1e9 else f"{x:#.{digits}g}".rstrip(".")
    return _powers(text).replace("-", "−")


def short(x: float, digits: int = 3) -> str:
    """As `number`, without trailing zeros: for the marks of an axis."""
    return _powers(f"{x:,.0f}" if 1000 <= abs(x) < 1e9 else f"{x:.{digits}g}").replace("-", "−")


def signed(x: float) -> str:
    """As `number`, with a plus sign where there is no minus."""
    return f"+{number(x)}" if x > 0 and finite(x) else number(x)


def around(difference: float, low: float, high: float) -> tuple[str, str]:
    r"""A difference and its interval with the same decimals: two significant digits of the interval's half width.

    >>> around(-0.000156, -0.0023, 0.00199)
    ('−0.0002', '[−0.0023,\xa0+0.0020]')
    """
    if not finite(difference, low, high):
        return signed(difference), NONE
    half = (high - low) / 2
    if half == 0 or not 1e-6 <= half < 1e4:
        return signed(difference), f"[{signed(low)},\u00a0{signed(high)}]"
    decimals = max(0, 1 - math.floor(math.log10(half)))
    texts = [f"{round(x, decimals) + 0.0:+,.{decimals}f}".replace("-", "−") for x in (difference, low, high)]
    return texts[0], f"[{texts[1]},\u00a0{texts[2]}]"


def p_value(p: float) -> str:
    """Three decimals, or a bound below them."""
    if not finite(p):
        return NONE
    return "<\u00a00.001" if p < 0.001 else f"{p:.3f}"


def ratio(x: float) -> str:
    """0.4512 -> '0.45 ×'."""
    if not finite(x):
        return NONE
    text = f"{x:,.0f}" if x >= 100 else f"{x:.2g}" if x < 0.1 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"
    return f"{_powers(text).replace('-', '−')}\u00a0×"


def duration(seconds: float) -> str:
    """A time in the unit that keeps it between 1 and 1000."""
    if not finite(seconds):
        return NONE
    for scale, unit in ((1, "s"), (1e3, "ms")):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}" if seconds < 1000 else f"{seconds:,.0f} s"
    return f"{seconds * 1e6:.3g} µs"


def size(n_bytes: float) -> str:
    """Bytes in decimal units: 1 MB is 1,000,000 bytes."""
    if not finite(n_bytes):
        return NONE
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(n_bytes) >= scale:
            return f"{n_bytes / scale:.3g} {unit}"
    return f"{n_bytes:.0f} B"


def _powers(text: str) -> str:
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text
