"""Where a number lies among those that were decided on: tables of ranks, made once and then frozen into a model.

A logarithm compares a ratio of 0.31 and one of 0.35 as it compares 31 and 35 of anything. A rank knows how many decisions lay
between the two. What lies beyond all that was seen goes on by its logarithm, so that nothing new looks like the largest known.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from math import log2
from typing import Any

STEPS = 64
# With fewer different decisions than this a table would tell more about chance than about the fact.
MIN_NUMBERS = 100
# As far again beyond the table as it is wide counts like a quarter of all decisions, and so does each doubling of that.
_BEYOND = 1 / 4

Table = tuple[int, ...]


def freeze_ranks(cases: Iterable[Mapping[str, Any]]) -> dict[str, Table]:
    """By name of fact the 65 numbers, ascending, that cut its values into 64 shares; without facts that were seen too rarely.

    The order of cases doesn't matter: the same ones give the same tables.
    """
    seen: dict[str, list[int]] = {}
    for inputs in cases:
        for name, value in inputs.items():
            if isinstance(value, int) and not isinstance(value, bool):
                seen.setdefault(name, []).append(value)
    return {name: _cut(sorted(numbers)) for name, numbers in sorted(seen.items()) if len(numbers) >= MIN_NUMBERS}


def is_table(table: Sequence[object]) -> bool:
    """Whether these are 65 ascending integers."""
    numbers = [number for number in table if isinstance(number, int) and not isinstance(number, bool)]
    return len(numbers) == len(table) == STEPS + 1 and numbers == sorted(numbers)


def rank_of(table: Table, value: int) -> float:
    """0 for the smallest number of the table, 1 for the largest; beyond them by doublings of the distance.

    A number that many decisions had lies in the middle of its share; between two of the table it is interpolated.
    """
    low, high = table[0], table[-1]
    if value < low:
        return -_beyond(table, low - value)
    if value > high:
        return 1 + _beyond(table, value - high)
    first, after = bisect_left(table, value), bisect_right(table, value)
    if after > first:
        return (first + after - 1) / (2 * STEPS)
    below, above = table[first - 1], table[first]
    return (first - 1 + (value - below) / (above - below)) / STEPS


def _beyond(table: Table, distance: int) -> float:
    return _BEYOND * log2(1 + distance / max(1, table[-1] - table[0]))


def _cut(numbers: Sequence[int]) -> Table:
    last = len(numbers) - 1
    return tuple(numbers[(2 * step * last + STEPS) // (2 * STEPS)] for step in range(STEPS + 1))
