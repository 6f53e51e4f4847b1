"""Rules in a row as few programs: which of them is the first that holds, asked in one call instead of one for each.

A call into the library costs ten times what most conditions do. `a ? 0 : b ? 1 : -1` asks them in order and stops at
the first that holds, as the evaluator does; where one of those asked errs, so does the whole, and the evaluator then
asks them one by one, to tell which and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

LINK_RULES = 12
"""Each nested choice counts towards the library's depth of 32; conditions have at most 24 of it."""


@dataclass(frozen=True, slots=True)
class Chain:
    """`links` are programs whose value is the place of the first rule that holds, or -1; `count` is how many rules there are."""

    links: tuple[Any, ...]
    count: int

    def first(self, activation: Any) -> int | None:
        """The place of the first rule that holds, `count` where none does; None where one of those asked errs."""
        for program in self.links:
            try:
                place = program.eval(activation).value()
            except RuntimeError:
                return None
            if type(place) is not int:
                return None
            if place >= 0:
                return place
        return self.count


def chain_of(conditions: Sequence[str], environment: Any) -> Chain:
    """The chain of conditions that were compiled, each by itself, before."""
    return Chain(tuple(_links(conditions, environment)), len(conditions))


def _links(conditions: Sequence[str], environment: Any) -> Iterator[Any]:
    for start in range(0, len(conditions), LINK_RULES):
        yield from _link(conditions, start, min(start + LINK_RULES, len(conditions)), environment)


def _link(conditions: Sequence[str], start: int, stop: int, environment: Any) -> list[Any]:
    """One program, or, where that is too deep, one for each half."""
    choices = "".join(f"({conditions[place]}) ? {place} : " for place in range(start, stop))
    try:
        return [environment.compile(f"{choices}-1")]
    except RuntimeError:
        if stop - start == 1:
            raise
        middle = (start + stop) // 2
        return _link(conditions, start, middle, environment) + _link(conditions, middle, stop, environment)
