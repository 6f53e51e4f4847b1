"""What deriving every decision again says: counts, by evaluator, and findings that name seq, id and JSON paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from precedent.learning.replay import Fault
from precedent.learning.replay_worker import Verified
from precedent.policy.evaluate import EVALUATOR


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """`window` in words; `head` is the seq of the last entry that was there when it began."""

    chain: str
    window: str
    head: int
    verified: Verified
    allows_evaluators: bool = False

    @property
    def is_equal(self) -> bool:
        """Whether every decision was derived to the same bytes; where allowed, but for those of another evaluator."""
        changed = self.verified.faults.get(Fault.EVALUATOR_CHANGED, 0) if self.allows_evaluators else 0
        return self.verified.equal + changed == self.verified.read

    def as_dict(self) -> dict[str, Any]:
        verified = self.verified
        return {
            "chain": self.chain,
            "window": self.window,
            "head": self.head,
            "decisions": verified.read,
            "equal": verified.equal,
            "is_equal": self.is_equal,
            "faults": {fault.value.replace(" ", "_"): verified.faults.get(fault, 0) for fault in Fault},
            "evaluator": EVALUATOR,
            "evaluators": {name: {"compared": compared, "equal": equal} for name, (compared, equal) in sorted(verified.evaluators.items())},
            "findings": [finding.as_dict() for finding in verified.findings],
        }

    def __str__(self) -> str:
        verified = self.verified
        words = [f"chain {self.chain}, {self.window}, up to seq {self.head}: {verified.read:,} decisions derived again"]
        words.append(f"  equal {verified.equal:,} ({_percent(verified.equal, verified.read)})")
        words += [f"  {fault} {verified.faults[fault]:,}" for fault in Fault if verified.faults.get(fault)]
        for name, (compared, equal) in sorted(verified.evaluators.items()):
            if name != EVALUATOR:
                words.append(f"  recorded by {name}, derived by {EVALUATOR}: {equal:,} of {compared:,} equal")
        words += [f"  {finding}" for finding in verified.findings]
        left_out = sum(verified.faults.values()) - len(verified.findings)
        if left_out > 0:
            words.append(f"  and {left_out:,} more")
        words.append(
            "every decision follows from what is recorded" if self.is_equal else "NOT EVERY DECISION FOLLOWS FROM WHAT IS RECORDED"
        )
        return "\n".join(words)


def _percent(part: int, whole: int) -> str:
    """Never 100 % of what isn't all of it."""
    if not whole:
        return "of none"
    return "100 %" if part == whole else f"{min(100 * part / whole, 99.99):.2f} %"
