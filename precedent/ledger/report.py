"""What verification says: counts first, then findings, in words that a person understands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

MAX_FINDINGS = 100


class Verdict(StrEnum):
    """Of an entry, of a row that should stand for one, of a row of the ledger that belongs to no entry (`stray`), or of the whole against
    what was signed: fewer entries than that (`truncated`), others (`forked`), signed by another key (`wrong_signer`).
    """

    INTACT = "intact"
    MUTATED = "mutated"
    MISSING = "missing"
    REORDERED = "reordered"
    FORKED = "forked"
    STRAY = "stray"
    TRUNCATED = "truncated"
    WRONG_SIGNER = "wrong_signer"
    ERASED = "erased"
    PROJECTION_CHECKED = "projection_checked"
    PROJECTION_WRONG = "projection_wrong"
    PROJECTION_MISSING = "projection_missing"
    PROJECTION_EXTRA = "projection_extra"


GOOD = frozenset({Verdict.INTACT, Verdict.ERASED, Verdict.PROJECTION_CHECKED})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong, or erased lawfully. `where` is `table.column`, a table, or `section` and its name; `seq` and `entry_id` where they
    are known.
    """

    verdict: Verdict
    seq: int | None
    entry_id: str | None
    where: str
    words: str

    def __str__(self) -> str:
        place = "" if self.seq is None else f"seq {self.seq} "
        entry = "" if self.entry_id is None else f"({self.entry_id}) "
        return f"{place}{entry}{self.verdict.value.replace('_', ' ')}: {self.where}: {self.words}"


@dataclass(slots=True)
class Tally:
    """Counts by verdict, and the first findings; what is beyond `MAX_FINDINGS` is counted in `left_out` alone.

    What was erased lawfully is told apart, in `lawful`, so that no number of erasures hides what is wrong.
    """

    counts: Counter[Verdict] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    left_out: int = 0
    lawful: list[Finding] = field(default_factory=list)

    def count(self, verdict: Verdict, number: int = 1) -> None:
        self.counts[verdict] += number

    def add(self, finding: Finding) -> None:
        """Keep a finding; counting is apart, since an entry has one verdict and perhaps several findings."""
        if finding.verdict in GOOD:
            if len(self.lawful) < MAX_FINDINGS:
                self.lawful.append(finding)
        elif len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
        else:
            self.left_out += 1

    def merge(self, other: Tally) -> None:
        self.counts.update(other.counts)
        self.left_out += other.left_out
        for finding in (*other.findings, *other.lawful):
            self.add(finding)


Timings: TypeAlias = dict[str, float]


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one verification; `lawful` are the first sections that were erased lawfully. `timings` are seconds of work, summed
    over processes: `entries`, `projections`. The newest checkpoint covers the first `covered` entries; `witnesses` outside the database
    were heard. `checkpoint` is the note of that newest one; entries before `since` were not read.
    """

    chain: str
    size: int
    head_leaf_hex: str
    counts: dict[str, int]
    findings: tuple[Finding, ...]
    left_out: int
    seconds: float
    timings: Timings
    lawful: tuple[Finding, ...] = ()
    covered: int = 0
    witnesses: tuple[str, ...] = ()
    checkpoint: str = ""
    since: int = 0

    @property
    def is_intact(self) -> bool:
        return not self.findings and not any(number for verdict, number in self.counts.items() if Verdict(verdict) not in GOOD)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return {
            "chain": self.chain,
            "is_intact": self.is_intact,
            "size": self.size,
            "head_leaf_hex": self.head_leaf_hex,
            "covered": self.covered,
            "checkpoint": self.checkpoint,
            "since": self.since,
            "witnesses": list(self.witnesses),
            "counts": dict(self.counts),
            "findings": [_as_dict(finding) for finding in self.findings],
            "lawful": [_as_dict(finding) for finding in self.lawful],
            "findings_left_out": self.left_out,
            "seconds": round(self.seconds, 3),
            "timings": {name: round(seconds, 3) for name, seconds in self.timings.items()},
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        part = f", read from {self.since} on" if self.since else ""
        yield f"chain {self.chain}: {self.size} entries, head {self.head_leaf_hex or '-'}{part}"
        yield "entries:     " + ", ".join(f"{self.counts[verdict]} {verdict}" for verdict in _ENTRY)
        yield "projections: " + ", ".join(
            f"{self.counts[f'projection_{word}']} {word}" for word in ("checked", "wrong", "missing", "extra")
        )
        heard = "compared with " + ", ".join(self.witnesses) if self.witnesses else "compared with no witness outside the database"
        yield f"tree:        {self.covered} entries under checkpoints; {heard}"
        for finding in (*self.findings, *self.lawful):
            yield f"  {finding}"
        if self.left_out:
            yield f"  … and {self.left_out} more findings"
        yield f"{'intact' if self.is_intact else 'NOT INTACT'} ({self.seconds:.1f} s)"


def _as_dict(finding: Finding) -> dict[str, Any]:
    return {
        "verdict": finding.verdict.value,
        "seq": finding.seq,
        "entry_id": finding.entry_id,
        "where": finding.where,
        "words": finding.words,
    }


_ENTRY = tuple(verdict.value for verdict in Verdict if not verdict.startswith("projection_"))
