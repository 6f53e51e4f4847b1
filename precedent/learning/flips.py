"""What a candidate would have decided otherwise: counted by move, by segment and in money. Pure, mergeable, of bounded size.

Standing is verdict and level. A *flip* is a decision whose standing differs; one that differs in its rule, reasons or anything else
of its result alone is *reworded*. Numbers fall into buckets of two significant digits, so that segments can be cut at quantiles
after the last decision was seen, exactly, and with limits that people read; memory does not grow with the number of decisions.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from precedent.learning.replay import Recorded
from precedent.policy.facts import Typed
from precedent.policy.model import Action, Fact
from precedent.policy.quantity import NUMERIC_TYPES


class Standing(NamedTuple):
    """What a decision comes to."""

    verdict: str
    level: int

    def __str__(self) -> str:
        return f"{self.verdict} AL{self.level}" if self.verdict == "approve" else self.verdict

    @property
    def acts(self) -> bool:
        """Whether it is a permission that needs no person."""
        return self.verdict == "approve" and self.level >= 1


Move: TypeAlias = tuple[Standing, Standing]
Money: TypeAlias = Counter[tuple[str, str]]  # (fact, currency) → minor units


def standing_of(result: Mapping[str, Any]) -> Standing:
    return Standing(result["verdict"], result["level"])


@dataclass(slots=True)
class Cell:
    """Decisions that have something in common, and those of them that flip."""

    decided: int = 0
    flips: int = 0
    gained: int = 0
    lost: int = 0
    money: Money = field(default_factory=Counter)

    def merge(self, other: Cell) -> None:
        self.decided += other.decided
        self.flips += other.flips
        self.gained += other.gained
        self.lost += other.lost
        self.money.update(other.money)


@dataclass(slots=True)
class Moved:
    """Decisions of one move, from a standing to a standing that may be the same."""

    count: int = 0
    money: Money = field(default_factory=Counter)

    def merge(self, other: Moved) -> None:
        self.count += other.count
        self.money.update(other.money)


@dataclass(frozen=True, slots=True)
class Difference:
    """One decision that comes out otherwise, both results side by side."""

    seq: int
    entry_id: str
    correlation_id: str
    decided_at: str
    action: str
    before: dict[str, Any]
    after: dict[str, Any]

    @property
    def move(self) -> Move:
        return standing_of(self.before), standing_of(self.after)

    @property
    def is_flip(self) -> bool:
        was, becomes = self.move
        return was != becomes

    def as_dict(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "id": self.entry_id,
            "correlation_id": self.correlation_id,
            "ts": self.decided_at,
            "action": self.action,
            "flip": self.is_flip,
            "before": _told(self.before),
            "after": _told(self.after),
        }


def _told(result: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: result[name] for name in ("verdict", "rule", "effective", "requires_human", "reasons")}
    return {**kept, "autonomy_level": result["level"]}


# What a difference is made of, should it be among those that are kept.
_Compared: TypeAlias = tuple[Recorded, dict[str, Any], dict[str, Any]]
Segment: TypeAlias = tuple[str, str, Typed | None]  # (action, fact, bucket or value); None where the fact was not sent


@dataclass(frozen=True, slots=True)
class _Counted:
    """What is counted of an action's facts: amounts with their currency, and what segments are cut by."""

    money: tuple[tuple[str, str], ...]
    segments: tuple[Fact, ...]


@dataclass(slots=True)
class Tally:
    """All that was compared. Of the differences the newest `limit` are kept, flips before those that are reworded."""

    limit: int
    read: int = 0
    same: int = 0
    reworded: int = 0
    undecidable: Counter[str] = field(default_factory=Counter)
    evaluators: Counter[str] = field(default_factory=Counter)
    moves: dict[Move, Moved] = field(default_factory=dict)
    segments: dict[Segment, Cell] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    _counted: dict[str, _Counted] = field(default_factory=dict, repr=False, compare=False)
    _flipped: deque[_Compared] = field(init=False, repr=False, compare=False)
    _reworded: deque[_Compared] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._flipped, self._reworded = deque(maxlen=self.limit), deque(maxlen=self.limit)

    @property
    def decided(self) -> int:
        return sum(moved.count for moved in self.moves.values())

    @property
    def flips(self) -> int:
        return sum(moved.count for (was, becomes), moved in self.moves.items() if was != becomes)

    def compare(self, recorded: Recorded, action: Action, before: dict[str, Any], after: dict[str, Any], is_same: bool) -> None:
        """Count one decision; `action` is the candidate's contract of it. Those of one tally come in order of seq."""
        counted = self._counted.get(action.name)
        if counted is None:
            counted = self._counted[action.name] = _counted(action)
        facts, move = recorded.facts, (standing_of(before), standing_of(after))
        was, becomes = move
        is_flip = was != becomes
        change = (becomes.acts and not was.acts, was.acts and not becomes.acts) if is_flip else None
        money = [(key, value) for key in counted.money if type(value := facts.get(key[0])) is int]
        moved = self.moves.get(move)
        if moved is None:
            moved = self.moves[move] = Moved()
        moved.count += 1
        for key, value in money:
            moved.money[key] += value
        for fact in counted.segments:
            self._segment((action.name, fact.name, bucket_of(fact, facts.get(fact.name))), change, money)
        if is_same:
            self.same += 1
            return
        self.reworded += not is_flip
        (self._flipped if is_flip else self._reworded).append((recorded, before, after))

    def _segment(self, segment: Segment, change: tuple[bool, bool] | None, money: Sequence[tuple[tuple[str, str], int]]) -> None:
        """`change` is whether a flip gains or loses an action; None where it is no flip."""
        cell = self.segments.get(segment)
        if cell is None:
            cell = self.segments[segment] = Cell()
        cell.decided += 1
        if change is None:
            return
        cell.flips += 1
        cell.gained += change[0]
        cell.lost += change[1]
        for key, value in money:
            cell.money[key] += value

    def trim(self) -> None:
        """Leave the newest `limit` differences, flips first, newest first."""
        for held in (self._flipped, self._reworded):
            self.differences += [
                Difference(one.seq, one.entry_id, one.correlation_id, one.decided_at, one.action, before, after)
                for one, before, after in held
            ]
            held.clear()
        self.differences.sort(key=lambda one: (one.is_flip, one.seq), reverse=True)
        del self.differences[self.limit :]

    def merge(self, other: Tally) -> None:
        other.trim()
        self.read += other.read
        self.same += other.same
        self.reworded += other.reworded
        self.undecidable.update(other.undecidable)
        self.evaluators.update(other.evaluators)
        for move, moved in other.moves.items():
            self.moves.setdefault(move, Moved()).merge(moved)
        for segment, cell in other.segments.items():
            self.segments.setdefault(segment, Cell()).merge(cell)
        self.differences += other.differences
        self.trim()


def _counted(action: Action) -> _Counted:
    readable = [fact for fact in action.facts.values() if fact.is_readable]
    return _Counted(
        money=tuple((fact.name, fact.currency) for fact in readable if fact.type == "money" and fact.currency),
        segments=tuple(fact for fact in readable if fact.type in NUMERIC_TYPES or fact.type in {"enum", "bool"}),
    )


def bucket_of(fact: Fact, value: Typed | None) -> Typed | None:
    """The segment of a value: itself for words and truths; of a number the lower end of those that share its two leading digits."""
    if type(value) is not int or fact.type not in NUMERIC_TYPES:
        return value
    digits = len(str(abs(value)))
    if digits <= 2:
        return value
    step: int = 10 ** (digits - 2)
    return value // step * step
