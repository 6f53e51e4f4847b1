"""Segments of a tally, in words: enums and truths by value, numbers in bands cut at quantiles of the decisions themselves. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from precedent.learning.flips import Cell, Tally
from precedent.learning.money import money_rows
from precedent.policy.facts import Typed
from precedent.policy.model import Action, Fact
from precedent.policy.quantity import NUMERIC_TYPES, write_quantity

BANDS = 5
MAX_VALUES = 20


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One band or value of one fact; `low` is where a band begins and `high` where the next one does, in units of the fact."""

    action: str
    fact: str
    words: str
    low: Typed | None
    high: Typed | None
    cell: Cell

    def as_dict(self) -> dict[str, Any]:
        cell = self.cell
        return {
            "action": self.action,
            "fact": self.fact,
            "segment": self.words,
            "decided": cell.decided,
            "flips": cell.flips,
            "acts_now": cell.gained,
            "acts_no_longer": cell.lost,
            "money": money_rows(cell.money),
        }


def segment_rows(tally: Tally, actions: Mapping[str, Action]) -> list[SegmentRow]:
    """The segments of every fact of every action that was decided, in the order of the contract."""
    rows: list[SegmentRow] = []
    by_fact: dict[tuple[str, str], list[tuple[Typed | None, Cell]]] = {}
    for (action_name, name, value), cell in tally.segments.items():
        by_fact.setdefault((action_name, name), []).append((value, cell))
    for action in actions.values():
        for fact in action.facts.values():
            cells = by_fact.get((action.name, fact.name), [])
            rows += _bands(action.name, fact, cells) if fact.type in NUMERIC_TYPES else _values(action.name, fact, cells)
    return rows


def _values(action: str, fact: Fact, cells: Sequence[tuple[Typed | None, Cell]]) -> list[SegmentRow]:
    ordered = sorted(cells, key=lambda one: (-one[1].decided, str(one[0])))
    rows = [SegmentRow(action, fact.name, _write(fact, value), value, None, cell) for value, cell in ordered[:MAX_VALUES]]
    if rest := ordered[MAX_VALUES:]:
        rows.append(SegmentRow(action, fact.name, f"{len(rest)} others", None, None, _merged([cell for _, cell in rest])))
    return rows


def _bands(action: str, fact: Fact, cells: Sequence[tuple[Typed | None, Cell]]) -> list[SegmentRow]:
    """About as many decisions in each; a value that many share is not torn apart, so there may be fewer bands."""
    numbers = sorted(_numbers(cells), key=lambda one: one[0])
    total = sum(cell.decided for _, cell in numbers)
    bands: list[list[tuple[int, Cell]]] = []
    before = 0
    for value, cell in numbers:
        if not bands or before * BANDS >= len(bands) * total:
            bands.append([])
        bands[-1].append((value, cell))
        before += cell.decided
    rows = []
    for place, band in enumerate(bands):
        low = band[0][0]
        high = bands[place + 1][0][0] if place + 1 < len(bands) else None
        rows.append(SegmentRow(action, fact.name, _write_band(fact, low, high, place == 0), low, high, _merged([c for _, c in band])))
    if absent := [cell for value, cell in cells if value is None]:
        rows.append(SegmentRow(action, fact.name, "not sent", None, None, _merged(absent)))
    return rows


def _numbers(cells: Sequence[tuple[Typed | None, Cell]]) -> list[tuple[int, Cell]]:
    return [(value, cell) for value, cell in cells if type(value) is int]


def _write_band(fact: Fact, low: int, high: int | None, is_first: bool) -> str:
    if high is None:
        return "all" if is_first else f"from {_write(fact, low)}"
    return f"under {_write(fact, high)}" if is_first else f"{_write(fact, low)} to under {_write(fact, high)}"


def _write(fact: Fact, value: Typed | None) -> str:
    return "not sent" if value is None else write_quantity(value, fact.type, fact.currency)


def _merged(cells: Sequence[Cell]) -> Cell:
    whole = Cell()
    for cell in cells:
        whole.merge(cell)
    return whole
