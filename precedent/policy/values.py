"""One value into the integer, boolean or string that rules see, by the fact's type and bounds."""

from __future__ import annotations

from decimal import Decimal

from precedent.policy.model import Fact
from precedent.policy.quantity import (
    DECIMALS,
    SHARE_TYPES,
    QuantityRefused,
    money_decimals,
    parse_date,
    parse_instant,
    scale,
    scale_written,
    write_own,
)

STRING_LIMIT_CHARS = 256
TEXT_LIMIT_CHARS = 10_000
_TEXTS = frozenset({"enum", "string", "text"})


def to_typed(fact: Fact, raw: object) -> int | bool | str:
    """`raw` as a value of the fact's type, within its bounds.

    Raises: QuantityRefused with the fault's code.
    """
    kind = fact.type
    if kind == "bool":
        if isinstance(raw, bool):
            return raw
        raise QuantityRefused("WRONG_TYPE", "expected true or false")
    if kind in _TEXTS:
        return _text(fact, raw)
    value = _units(fact, kind, raw)
    if fact.minimum is not None and value < fact.minimum:
        raise QuantityRefused("OUT_OF_RANGE", f"must be at least {write_own(fact.minimum, kind, fact.currency)}")
    if fact.maximum is not None and value > fact.maximum:
        raise QuantityRefused("OUT_OF_RANGE", f"must be at most {write_own(fact.maximum, kind, fact.currency)}")
    return value


def _units(fact: Fact, kind: str, raw: object) -> int:
    if kind == "date" or kind == "instant":
        if not isinstance(raw, str):
            raise QuantityRefused("WRONG_TYPE", f"expected {'a date' if kind == 'date' else 'an instant'} as a string")
        return scale(parse_date(raw) if kind == "date" else parse_instant(raw), 0)
    # bool is an int in Python: True would be 1
    if type(raw) is int or isinstance(raw, Decimal):
        return scale(raw, decimals_of(fact))
    if isinstance(raw, str) and kind != "int":
        return scale_written(raw, decimals_of(fact), is_share=kind in SHARE_TYPES)
    raise QuantityRefused("WRONG_TYPE", "expected a number")


def decimals_of(fact: Fact) -> int:
    """Digits after the point of the fact's grid."""
    if fact.type == "money":
        return money_decimals(fact.currency or "")
    return DECIMALS.get(fact.type, 0)


def _text(fact: Fact, raw: object) -> str:
    if not isinstance(raw, str):
        raise QuantityRefused("WRONG_TYPE", "expected a string")
    if fact.type == "enum":
        if raw not in fact.values:
            raise QuantityRefused("NOT_ALLOWED", f"must be one of {', '.join(fact.values)}")
        return raw
    limit = TEXT_LIMIT_CHARS if fact.type == "text" else STRING_LIMIT_CHARS
    if len(raw) > limit:
        raise QuantityRefused("OUT_OF_RANGE", f"at most {limit:,} characters")
    if fact.entity and not raw:
        raise QuantityRefused("OUT_OF_RANGE", "must not be empty")
    if "\x00" in raw:
        raise QuantityRefused("WRONG_TYPE", "holds a NUL character, which no database text can hold")
    if not raw.isascii() and any("\ud800" <= char <= "\udfff" for char in raw):
        raise QuantityRefused("WRONG_TYPE", "holds half of a surrogate pair")
    return raw
