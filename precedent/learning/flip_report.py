"""Who flips from what to what, by segment, in count and money: as one JSON object and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from precedent.learning.flips import Difference, Moved, Standing, Tally
from precedent.learning.money import money_rows, money_words
from precedent.learning.segments import SegmentRow, segment_rows
from precedent.policy.model import Action

REASON_CHARS = 100


@dataclass(frozen=True, slots=True)
class FlipReport:
    """`before` names the version compared with; None where that is what was decided. `actions` are the candidate's."""

    candidate: str
    digest_hex: str
    before: str | None
    window: str
    head: int
    tally: Tally
    actions: Mapping[str, Action]

    @property
    def moves(self) -> list[tuple[Standing, Standing, Moved]]:
        """Flips, the most frequent first."""
        held = [(was, becomes, moved) for (was, becomes), moved in self.tally.moves.items() if was != becomes]
        return sorted(held, key=lambda one: (-one[2].count, one[0], one[1]))

    @property
    def standings(self) -> list[Standing]:
        """All that occur, from full autonomy down to denial."""
        found = {standing for move in self.tally.moves for standing in move}
        order = ("approve", "escalate", "deny")
        return sorted(found, key=lambda one: (order.index(one.verdict), -one.level))

    @property
    def segments(self) -> list[SegmentRow]:
        return segment_rows(self.tally, self.actions)

    def agreement(self) -> dict[str, float | None]:
        """L1: shares of what was decided; None where nothing was."""
        tally, decided = self.tally, self.tally.decided
        if not decided:
            return {"verdict": None, "verdict_and_level": None}
        return {"verdict": self._alike() / decided, "verdict_and_level": 1 - tally.flips / decided}

    def _alike(self) -> int:
        return sum(moved.count for (was, becomes), moved in self.tally.moves.items() if was.verdict == becomes.verdict)

    def as_dict(self) -> dict[str, Any]:
        tally = self.tally
        return {
            "candidate": self.candidate,
            "digest": self.digest_hex,
            "before": self.before or "recorded",
            "window": self.window,
            "head": self.head,
            "read": tally.read,
            "decided": tally.decided,
            "same": tally.same,
            "flips": tally.flips,
            "reworded": tally.reworded,
            "not_decidable": [{"reason": reason, "count": count} for reason, count in tally.undecidable.most_common()],
            "agreement": self.agreement(),
            "moves": [
                {
                    "from": {"verdict": was.verdict, "autonomy_level": was.level},
                    "to": {"verdict": becomes.verdict, "autonomy_level": becomes.level},
                    "count": moved.count,
                    "money": money_rows(moved.money),
                }
                for was, becomes, moved in self.moves
            ],
            "segments": [row.as_dict() for row in self.segments],
            "evaluators": dict(tally.evaluators),
            "differences": [difference.as_dict() for difference in tally.differences],
        }

    def __str__(self) -> str:
        parts = ["\n".join(self._summary())]
        if self.tally.flips:
            parts += [self._matrix(), self._moves(), self._segments()]
        if self.tally.differences:
            parts.append(self._differences())
        return "\n\n".join(parts)

    def summary(self) -> str:
        """The first lines, and where anything flips, who does."""
        return "\n\n".join(["\n".join(self._summary()), *([self._moves()] if self.tally.flips else [])])

    def _summary(self) -> list[str]:
        tally = self.tally
        before = f"beside {self.before}" if self.before else "beside what was decided"
        words = [f"{self.candidate} {before}, {self.window}, up to seq {self.head}"]
        if not tally.read:
            return [*words, "no decision of these actions lies there"]
        count = sum(tally.undecidable.values())
        words.append(f"{tally.read:,} decisions, {tally.decided:,} decided again" + (f", {count:,} not decidable" if count else ""))
        words += [f"  {number:,} × {reason}" for reason, number in tally.undecidable.most_common(10)]
        if tally.decided:
            words.append(
                f"{tally.flips:,} flips, {tally.reworded:,} with the same verdict and level for other reasons, {tally.same:,} the same"
            )
            verdict, both = self._alike(), tally.decided - tally.flips
            words.append(f"agreement: verdict {write_share(verdict, tally.decided)}, verdict and level {write_share(both, tally.decided)}")
        return words

    def _matrix(self) -> str:
        names = self.standings
        rows = [
            [str(was), *(f"{moved.count:,}" if (moved := self.tally.moves.get((was, becomes))) else "·" for becomes in names)]
            for was in names
            if any((was, becomes) in self.tally.moves for becomes in names)
        ]
        return columns(["from, to", *map(str, names)], rows)

    def _moves(self) -> str:
        rows = [[f"{was} → {becomes}", f"{moved.count:,}", money_words(moved.money)] for was, becomes, moved in self.moves]
        return columns(["who flips", "count", "money"], rows)

    def _segments(self) -> str:
        rows = [
            [
                f"{row.fact}: {row.words}",
                f"{row.cell.decided:,}",
                f"{row.cell.flips:,}",
                write_share(row.cell.flips, row.cell.decided),
                f"{row.cell.gained:,}",
                f"{row.cell.lost:,}",
                money_words(row.cell.money),
            ]
            for row in self.segments
        ]
        return columns(["segment", "decided", "flips", "share", "acts now", "no longer", "money that flips"], rows)

    def _differences(self) -> str:
        total = self.tally.flips + self.tally.reworded
        shown = len(self.tally.differences)
        head = f"the newest {shown:,} of {total:,} that differ" if shown < total else f"{shown:,} that differ, newest first"
        return "\n".join([head, *(_side_by_side(difference) for difference in self.tally.differences)])


def _side_by_side(difference: Difference) -> str:
    return "\n".join(
        [
            f"seq {difference.seq}  {difference.decided_at[:19]}Z  {difference.correlation_id}  {difference.entry_id}",
            f"    was      {_told(difference.before)}",
            f"    becomes  {_told(difference.after)}",
        ]
    )


def _told(result: Mapping[str, Any]) -> str:
    reasons: Sequence[Mapping[str, str]] = result["reasons"]
    text = reasons[0]["text"] if reasons else ""
    code = reasons[0]["code"] if reasons else ""
    shown = text if len(text) <= REASON_CHARS else text[: REASON_CHARS - 1] + "…"
    return f"{Standing(result['verdict'], result['level'])!s:<12} by {result['rule']}: {code}, {shown}"


def write_share(part: int, whole: int) -> str:
    """In per cent; a part is never rounded to nothing, nor to all."""
    if part in {0, whole} or not whole:
        return f"{100 * bool(part)} %"
    share = 100 * part / whole
    return "under 0.1 %" if share < 0.1 else "over 99.9 %" if share > 99.9 else f"{share:.1f} %"


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines whose cells stand under each other: the first and the last to the left, numbers between to the right."""
    table = [head, *rows]
    widths = [max(len(row[place]) for row in table) for place in range(len(head))]
    last = len(head) - 1 if head[-1].startswith("money") else len(head)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in {0, last} else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )
