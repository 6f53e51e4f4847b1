"""One field's text as the value that a mapping asks for. Numbers keep their digits: money never passes through a float."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson

from precedent.cli.importing.mapping import HOLE
from precedent.cli.importing.model import Condition, Value
from precedent.clock import EPOCH, to_instant

Row = Mapping[str, str]
Read = Callable[[Row], object]

DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?\Z")
WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z")
TRUTH = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
ABSENT = object()


class ValueRefused(ValueError):
    """A field that isn't what the mapping says; `code` is stable, the message names the column."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def reader_of(value: Value, zone: ZoneInfo | None) -> Read:
    """The function from a row to the JSON value, or `ABSENT`; it raises ValueRefused."""
    if value.template is not None:
        return _template(value.template)
    if value.days_between is not None:
        return _days(value.days_between, zone, value.optional)
    if value.column is None:
        return lambda row: value.constant
    return _column(value, zone)


def instant_of(value: Value, zone: ZoneInfo | None) -> Callable[[Row], int]:
    """The function from a row to microseconds since 1970, for a value of type `instant`."""
    column = value.column or ""
    return lambda row: _microseconds(_given(row, column), column, value.format, zone)


def test_of(condition: Condition | None) -> Callable[[Row], bool]:
    """The function that says whether a row has an outcome."""
    if condition is None:
        return lambda row: True
    return lambda row: (row[condition.column] in condition.texts) == condition.is_wanted


def _column(value: Value, zone: ZoneInfo | None) -> Read:
    column, translate = value.column or "", value.translate
    convert = _converter(value, column, zone)

    def read(row: Row) -> object:
        text = row[column]
        if not text and value.optional:
            return ABSENT
        if translate is None:
            return convert(_given(row, column))
        if text not in translate:
            raise ValueRefused("NOT_MAPPED", f"{column}: the mapping translates no {_shown(text)}")
        return translate[text]

    return read


def _given(row: Row, column: str) -> str:
    text = row[column]
    if not text:
        raise ValueRefused("EMPTY", f"{column} is empty")
    # How the reader marks bytes that aren't UTF-8: what stood there is unknown, and a guess isn't evidence.
    if "\ufffd" in text:
        raise ValueRefused("NOT_UTF8", f"{column} isn't UTF-8")
    return text


def _converter(value: Value, column: str, zone: ZoneInfo | None) -> Callable[[str], object]:
    match value.type:
        case "decimal":
            return lambda text: _number(text, column, DECIMAL, "a decimal number with a point")
        case "int":
            return lambda text: _number(text, column, WHOLE, "a whole number")
        case "bool":
            return lambda text: _truth(text, column)
        case "date":
            return lambda text: _day(text, column, value.format)
        case "instant":
            return lambda text: to_instant(_microseconds(text, column, value.format, zone))
        case _:
            return lambda text: text


def _number(text: str, column: str, pattern: re.Pattern[str], what: str) -> object:
    if not pattern.match(text):
        raise ValueRefused("NOT_A_NUMBER", f"{column}: {_shown(text)} isn't {what}")
    return orjson.Fragment(text)


def _truth(text: str, column: str) -> bool:
    if (held := TRUTH.get(text.lower())) is None:
        raise ValueRefused("NOT_BOOL", f"{column}: {_shown(text)} is neither true nor false")
    return held


def _day(text: str, column: str, layout: str | None) -> str:
    try:
        return (datetime.strptime(text, layout).date() if layout else date.fromisoformat(text)).isoformat()  # noqa: DTZ007  # a day has no zone
    except ValueError as error:
        raise ValueRefused("NOT_A_DATE", f"{column}: {_shown(text)} isn't a date{_as(layout)}") from error


def _microseconds(text: str, column: str, layout: str | None, zone: ZoneInfo | None) -> int:
    try:
        at = datetime.strptime(text, layout) if layout else datetime.fromisoformat(text)  # noqa: DTZ007  # the zone comes next
        if at.tzinfo is None:
            if zone is None:
                raise ValueRefused("NO_ZONE", f"{column}: {_shown(text)} names no zone, nor does the mapping")
            at = at.replace(tzinfo=zone)
        return (at.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)
    except ValueRefused:
        raise
    except (ValueError, OverflowError) as error:
        raise ValueRefused("NOT_AN_INSTANT", f"{column}: {_shown(text)} isn't an instant{_as(layout)}") from error


def _days(columns: tuple[str, str], zone: ZoneInfo | None, is_optional: bool) -> Read:
    first, last = columns

    def read(row: Row) -> object:
        if is_optional and not (row[first] and row[last]):
            return ABSENT
        span = _microseconds(_given(row, last), last, None, zone) - _microseconds(_given(row, first), first, None, zone)
        if span < 0:
            raise ValueRefused("BACKWARDS", f"{last} lies before {first}")
        return span // 86_400_000_000

    return read


def _template(template: str) -> Read:
    return lambda row: HOLE.sub(lambda hole: _given(row, hole[1]), template)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")


def _as(layout: str | None) -> str:
    return f" as {layout}" if layout else ""
