"""Exact numbers on a grid: money in minor units, ratios in basis points, scores in ppm, and back into words.

No float is made anywhere: a value is an integer of its unit, or it is refused.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache

from precedent.clock import from_instant
from precedent.policy.currencies import CURRENCY_DECIMALS

LARGEST = 2**53 - 1
DIGIT_LIMIT = 40

_NUMERIC = re.compile(r"-?[0-9]{1,25}(\.[0-9]{1,15})?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
POWERS: tuple[int, ...] = tuple(10**power for power in range(8))
_EPOCH_DAY = date(1970, 1, 1).toordinal()

DECIMALS = {"int": 0, "ratio": 4, "score": 6}
SHARE_TYPES = frozenset({"ratio", "score"})
NUMERIC_TYPES = frozenset({"int", "ratio", "score", "money"})


class QuantityRefused(Exception):
    """A value that is no quantity of its type. `code` is the fault's code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def money_decimals(currency: str) -> int:
    """Digits after the point in ISO 4217: 2, but 0 for yen and its like and 3 for dinars."""
    return CURRENCY_DECIMALS.get(currency, 2)


def parse_numeric(text: str) -> Decimal:
    """The decimal that a string writes out; no exponent, no sign but minus, no infinity.

    Raises: QuantityRefused
    """
    if not _NUMERIC.match(text):
        raise QuantityRefused("WRONG_TYPE", "expected a number, or a string that writes one out")
    return Decimal(text)


def scale_written(value: int | Decimal | str, decimals: int, *, is_share: bool) -> int:
    """As `scale`, of a number or of a string that writes one out; a share may be written in percent: `8 %` and `8%` are 0.08.

    Raises: QuantityRefused
    """
    if not isinstance(value, str):
        return scale(value, decimals)
    if not value.endswith("%"):
        return scale(parse_numeric(value), decimals)
    if not is_share:
        raise QuantityRefused("WRONG_TYPE", "only a ratio or a score is written in %")
    return scale(parse_numeric(value[:-1].removesuffix(" ")), decimals - 2)


def scale(value: int | Decimal, decimals: int) -> int:
    """`value` × 10^`decimals` as an integer, exactly.

    Raises: QuantityRefused where that isn't whole, or beyond ±(2^53 − 1).
    """
    scaled = value * POWERS[decimals] if isinstance(value, int) else _scale_decimal(value, decimals)
    if not -LARGEST <= scaled <= LARGEST:
        raise QuantityRefused("OUT_OF_RANGE", "beyond ±(2^53 − 1) units")
    return scaled


def _scale_decimal(value: Decimal, decimals: int) -> int:
    if value.is_finite() and (quick := _scale_plain(str(value), decimals)) is not None:
        return quick
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise QuantityRefused("WRONG_TYPE", "not a finite number")
    if not value:
        return 0
    # 1e999999 would ask for a million digits: look at its magnitude before computing anything
    if value.adjusted() > DIGIT_LIMIT:
        raise QuantityRefused("OUT_OF_RANGE", "beyond ±(2^53 − 1) units")
    if len(digits) > DIGIT_LIMIT or exponent < -DIGIT_LIMIT:
        raise QuantityRefused("NOT_ON_GRID", f"has more than {decimals} decimals")
    coefficient = int("".join(map(str, digits)))
    shift = exponent + decimals
    if shift < 0:
        coefficient, rest = divmod(coefficient, int(10**-shift))
        if rest:
            raise QuantityRefused("NOT_ON_GRID", f"has more than {decimals} decimals" if decimals else "not a whole number")
    else:
        coefficient *= int(10**shift)
    return -coefficient if sign else coefficient


def _scale_plain(text: str, decimals: int) -> int | None:
    """What a short decimal without exponent comes to, by its digits, in a third of the time; None for all else."""
    whole, _, fraction = text.partition(".")
    if len(text) > DIGIT_LIMIT or len(fraction) > decimals or not text.isascii() or "E" in text or not text[-1].isdigit():
        return None
    return int(whole + fraction) * POWERS[decimals - len(fraction)]


def parse_date(text: str) -> int:
    """Days since 1970-01-01 of an ISO 8601 date.

    Raises: QuantityRefused
    """
    if _DATE.match(text):
        try:
            return date.fromisoformat(text).toordinal() - _EPOCH_DAY
        except ValueError:
            pass
    raise QuantityRefused("WRONG_TYPE", "expected a date such as 2026-11-22")


def parse_instant(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 instant with its zone.

    Raises: QuantityRefused
    """
    try:
        return from_instant(text)
    except ValueError as error:
        raise QuantityRefused("WRONG_TYPE", "expected an instant such as 2026-11-22T19:34:12Z") from error


def write_decimal(value: int, decimals: int) -> str:
    """`value` ÷ 10^`decimals` without trailing zeros: 800 with 4 decimals is `0.08`."""
    if not decimals:
        return str(value)
    whole, rest = divmod(abs(value), 10**decimals)
    fraction = f"{rest:0{decimals}d}".rstrip("0")
    return f"{'-' if value < 0 else ''}{whole}{'.' if fraction else ''}{fraction}"


def write_grouped(value: int, decimals: int) -> str:
    """As `write_decimal`, thousands grouped; money that isn't whole keeps all its digits: `1,204.50`."""
    whole, rest = divmod(abs(value), 10**decimals)
    fraction = f".{rest:0{decimals}d}" if rest else ""
    return f"{'-' if value < 0 else ''}{whole:,}{fraction}"


@lru_cache(maxsize=8192)  # the same limits and shares are told again and again
def write_quantity(value: int | bool | str, kind: str, currency: str | None = None) -> str:
    """`value` in words a person reads: `8 %`, `12,000 USD`, `2026-11-22`; text as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if kind == "ratio":
        return f"{write_decimal(value, 2)} %"
    if kind == "money" and currency:
        return f"{write_grouped(value, money_decimals(currency))} {currency}"
    return write_own(value, kind, currency)


@lru_cache(maxsize=8192)  # likewise
def write_own(value: int | bool | str, kind: str, currency: str | None = None) -> str:
    """`value` as a request would write it: ratio 500 is `0.05`, a date its ISO form, true `true`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if kind == "money" and currency:
        return write_decimal(value, money_decimals(currency))
    if kind == "date":
        return date.fromordinal(value + _EPOCH_DAY).isoformat()
    if kind == "instant":
        return datetime.fromtimestamp(value // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return write_decimal(value, DECIMALS.get(kind, 0))
