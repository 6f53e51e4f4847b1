"""A mapping as typed values: how one row becomes an event, a decision and an outcome. Made by `mapping.py`, which checks it."""

from __future__ import annotations

from collections.abc import Mapping as Lookup
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

TYPES = ("text", "decimal", "int", "bool", "date", "instant")


@dataclass(frozen=True, slots=True)
class Value:
    """Where one value comes from: exactly one of `column`, `template`, `constant` and `days_between` is set.

    `translate` replaces the column's texts and refuses all others; `optional` leaves the value out where the column is empty.
    """

    column: str | None = None
    template: str | None = None
    constant: str | int | bool | None = None
    days_between: tuple[str, str] | None = None
    type: str = "text"
    format: str | None = None
    translate: Lookup[str, str | int | bool] | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether a row has an outcome: its column is (not) one of `texts`; the empty text stands for an empty field."""

    column: str
    texts: frozenset[str]
    is_wanted: bool


@dataclass(frozen=True, slots=True)
class EventMap:
    type: str
    actor: Value
    at: Value
    payload: Lookup[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DecisionMap:
    node: str
    action: str | None
    at: Value
    facts: Lookup[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OutcomeMap:
    when: Condition | None
    at: Value
    metrics: Lookup[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """A column that the mapping names, and where it does."""

    column: str
    line: int
    char: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """The whole document. `name` becomes the source of the events."""

    name: str
    time_zone: ZoneInfo | None
    correlation_id: Value | None
    event: EventMap | None
    decision: DecisionMap | None
    outcome: OutcomeMap | None
    places: tuple[Place, ...]
