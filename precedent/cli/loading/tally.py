"""What a load counts and tells: numbers by verdict and level, and what was rejected, where and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row, or one step of it, that was not taken. `step` is `row` (before anything was sent), `event`, `decision` or `outcome`."""

    row: int
    step: str
    code: str
    message: str

    def plain(self) -> dict[str, object]:
        return asdict(self)


@dataclass(slots=True)
class Tally:
    """What the API accepted. Rewards are summed in the order of the answers."""

    events: int = 0
    decisions: int = 0
    outcomes: int = 0
    rewarded: int = 0
    reward_sum: float = 0.0
    verdicts: dict[str, int] = field(default_factory=dict)
    levels: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.events + other.events,
            self.decisions + other.decisions,
            self.outcomes + other.outcomes,
            self.rewarded + other.rewarded,
            self.reward_sum + other.reward_sum,
            dict(Counter(self.verdicts) + Counter(other.verdicts)),
            dict(Counter(self.levels) + Counter(other.levels)),
        )

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    def add_decision(self, answer: dict[str, Any]) -> None:
        self.decisions += 1
        verdict, level = str(answer["verdict"]), f"AL{answer['autonomy_level']}"
        self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1
        self.levels[level] = self.levels.get(level, 0) + 1

    def add_outcome(self, answer: dict[str, Any]) -> None:
        self.outcomes += 1
        if answer.get("reward") is not None:
            self.rewarded += 1
            self.reward_sum += float(answer["reward"])

    def lines(self) -> list[str]:
        """The report's lines, largest groups first."""
        reward = f", mean reward {self.reward_sum / self.rewarded:.3f}" if self.rewarded else ""
        return [
            f"events     {self.events:>9,}",
            f"decisions  {self.decisions:>9,}  {_groups(self.verdicts)}",
            f"           {'':>9}  {_groups(dict(sorted(self.levels.items())))}",
            f"outcomes   {self.outcomes:>9,}{reward}",
        ]


def _groups(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
